"""The rules of a payment: each call to the provider is asked for, then done or failed.

Every time in its events is that of the business which led to it, as the order states it; when the provider answered is
the time recorded.
"""

from collections.abc import Sequence
from datetime import datetime

from msgspec import Struct
from msgspec.structs import replace

from common.context import Known
from common.messages import Event, Rejected
from contexts.payment.calls import Call, asked, attempted, done, failed, is_news
from contexts.payment.commands import (
    CapturePayment,
    RecordAuthorisation,
    RecordCapture,
    RecordRefund,
    RecordVoid,
    RefundPayment,
    RequestPayment,
    VoidPayment,
)
from contexts.payment.events import (
    AuthorisationRequested,
    CaptureFailed,
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    VoidFailed,
    VoidRequested,
)
from contexts.payment.refunds import Refund, lines_to_refund, refundable, worth
from contexts.payment.stated import REACTION, time_of

PaymentCommand = (
    RequestPayment
    | CapturePayment
    | VoidPayment
    | RefundPayment
    | RecordAuthorisation
    | RecordCapture
    | RecordVoid
    | RecordRefund
)

ENDED_BEFORE = "it was to be let go before it was asked for"


class Payment(Struct, frozen=True, gc=False):
    """A payment as its events left it: what it is about, and how far each call to the provider has come."""

    amount: int = 0
    currency: str = ""
    method: str = ""
    authorisation: Call = Call()
    capture: Call = Call()
    attempt: int = 1
    """Which capture that is, of several; those before it have failed."""
    void: Call = Call()
    refunds: tuple[Refund, ...] = ()


def decide(command: PaymentCommand, payment: Payment, known: Known) -> Sequence[Event]:
    """What happens when this is asked. Raises `Rejected` when a rule says no."""
    match command:
        case RequestPayment():
            return requested(command, payment)
        case CapturePayment():
            return capturing(command, payment, known)
        case VoidPayment(at=at):
            return letting_go(payment, at)
        case RefundPayment():
            return refunding(command, payment, known)
        case RecordAuthorisation():
            return authorisation_answered(command, payment)
        case RecordCapture():
            return capture_answered(command, payment)
        case RecordVoid():
            return void_answered(command, payment)
        case RecordRefund():
            return refund_answered(command, payment)


def requested(command: RequestPayment, payment: Payment) -> Sequence[Event]:
    if payment.authorisation.asked:
        return []
    if payment.void.asked:
        return [PaymentDeclined(reason=ENDED_BEFORE, at=command.at)]
    if command.amount == 0:
        return [PaymentAuthorised(amount=0, reference="", at=command.at)]
    return [
        AuthorisationRequested(amount=command.amount, currency=command.currency, method=command.method, at=command.at)
    ]


def authorisation_answered(command: RecordAuthorisation, payment: Payment) -> Sequence[Event]:
    well = command.outcome == "authorised"
    if not is_news(payment.authorisation, "authorisation", well):
        return []
    at = payment.authorisation.at
    if not well:
        return [PaymentDeclined(reason=command.reason, at=at)]
    authorised = PaymentAuthorised(amount=payment.amount, reference=command.reference, at=at)
    if payment.void.asked:  # It was to be let go before we knew that there is something to let go.
        return [authorised, void_requested(evolve(payment, authorised), payment.void.at)]
    return [authorised]


def capturing(command: CapturePayment, payment: Payment, known: Known) -> Sequence[Event]:
    """Asked by the order, once the goods have left. When that has failed, somebody who looked may ask again."""
    at = time_of(command.at, known)
    if payment.capture.awaited or payment.capture.done:
        return []
    if payment.void.asked:
        raise Rejected("payment.voided", "the money was to be let go and cannot be taken any more")
    if not payment.authorisation.done:
        raise Rejected("payment.not-authorised", f"the authorisation is {payment.authorisation.answer}")
    if not payment.capture.asked and REACTION not in known.roles:
        raise Rejected("payment.not-due", "the money is taken by itself once the goods have left")
    if payment.amount == 0:
        return [PaymentCaptured(amount=0, reference="", at=at)]
    return [
        CaptureRequested(
            amount=payment.amount,
            currency=payment.currency,
            method=payment.method,
            authorisation=payment.authorisation.reference,
            at=at,
            attempt=payment.attempt + payment.capture.failed,
        )
    ]


def capture_answered(command: RecordCapture, payment: Payment) -> Sequence[Event]:
    well = command.outcome == "captured"
    if not is_news(attempted(payment.capture, payment.attempt, command.attempt), "capture", well):
        return []
    if not well:
        return [CaptureFailed(reason=command.reason, at=payment.capture.at)]
    return [PaymentCaptured(amount=payment.amount, reference=command.reference, at=payment.capture.at)]


def letting_go(payment: Payment, at: datetime) -> Sequence[Event]:
    """No wish to let go is lost, however early: one that has no authorisation yet is repeated when there is one."""
    if payment.void.asked or payment.authorisation.failed:
        return []
    if payment.capture.awaited or payment.capture.done:
        raise Rejected("payment.captured", "what was taken is not let go but paid back")
    if payment.amount == 0:
        return [PaymentVoided(amount=0, at=at)]
    return [void_requested(payment, at)]


def void_requested(payment: Payment, at: datetime) -> VoidRequested:
    return VoidRequested(
        amount=payment.amount,
        currency=payment.currency,
        method=payment.method,
        authorisation=payment.authorisation.reference,
        at=at,
    )


def void_answered(command: RecordVoid, payment: Payment) -> Sequence[Event]:
    well = command.outcome == "voided"
    void = payment.void if payment.authorisation.done else Call()  # Without one the provider was asked for nothing.
    if not is_news(void, "void", well):
        return []
    if not well:
        return [VoidFailed(reason=command.reason, at=payment.void.at)]
    return [PaymentVoided(amount=payment.amount, at=payment.void.at)]


def refunding(command: RefundPayment, payment: Payment, known: Known) -> Sequence[Event]:
    at = time_of(command.at, known)
    if not payment.capture.done:
        raise Rejected("payment.not-captured", "what was not taken cannot be paid back")
    lines = lines_to_refund(command, refundable(payment.amount, payment.refunds), payment.refunds)
    if worth(lines) == 0:
        return []
    return [
        RefundRequested(
            refund=len(payment.refunds) + 1,
            lines=lines,
            amount=worth(lines),
            currency=payment.currency,
            method=payment.method,
            capture=payment.capture.reference,
            reason=command.reason,
            at=at,
        )
    ]


def refund_answered(command: RecordRefund, payment: Payment) -> Sequence[Event]:
    number = command.refund
    if not 1 <= number <= len(payment.refunds):
        raise Rejected("payment.not-asked", f"the provider was not asked for refund {number}")
    refund, well = payment.refunds[number - 1], command.outcome == "refunded"
    if not is_news(refund.call, f"refund {number}", well):
        return []
    amount, at = refund.amount, refund.call.at
    if not well:
        return [RefundFailed(refund=number, amount=amount, reason=command.reason, at=at)]
    return [PaymentRefunded(refund=number, lines=refund.lines, amount=amount, reference=command.reference, at=at)]


def evolve(payment: Payment, event: Event) -> Payment:
    """The payment after the event."""
    match event:
        case AuthorisationRequested(amount=amount, currency=currency, method=method, at=at):
            return replace(payment, amount=amount, currency=currency, method=method, authorisation=asked(at))
        case PaymentAuthorised(reference=reference, at=at):
            return replace(payment, authorisation=done(reference, at))
        case PaymentDeclined(at=at):
            return replace(payment, authorisation=failed(at))
        case CaptureRequested(at=at, attempt=attempt):
            return replace(payment, capture=asked(at), attempt=attempt)
        case PaymentCaptured(reference=reference, at=at):
            return replace(payment, capture=done(reference, at))
        case CaptureFailed(at=at):
            return replace(payment, capture=failed(at))
        case VoidRequested(at=at):
            return replace(payment, void=asked(at))
        case PaymentVoided(at=at):
            return replace(payment, void=done("", at))
        case VoidFailed(at=at):
            return replace(payment, void=failed(at))
        case RefundRequested(lines=lines, amount=amount, at=at):
            return replace(payment, refunds=(*payment.refunds, Refund(lines, amount, asked(at))))
        case PaymentRefunded(refund=number, reference=reference, at=at):
            return with_refund(payment, number, done(reference, at))
        case RefundFailed(refund=number, at=at):
            return with_refund(payment, number, failed(at))
        case _:
            return payment


def with_refund(payment: Payment, number: int, call: Call) -> Payment:
    refunds = (replace(each, call=call) if n == number else each for n, each in enumerate(payment.refunds, 1))
    return replace(payment, refunds=tuple(refunds))
