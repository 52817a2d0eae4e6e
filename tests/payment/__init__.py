"""The rules of a payment, as sentences; and what the sentences are made of. Times of business are a year ago."""

from datetime import UTC, datetime

from contexts.payment.commands import (
    CapturePayment,
    RecordAuthorisation,
    RecordCapture,
    RecordRefund,
    RecordVoid,
    RefundLine,
    RefundPayment,
    RequestPayment,
    VoidPayment,
)
from contexts.payment.events import (
    AuthorisationRequested,
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    RefundedLine,
    RefundRequested,
    VoidRequested,
)

SOLD = datetime(2025, 3, 1, 12, tzinfo=UTC)
SENT = datetime(2025, 3, 2, 9, tzinfo=UTC)
ENDED = datetime(2025, 3, 3, 9, tzinfo=UTC)

REQUEST = RequestPayment("o1", 500, "USD", "pm_ok", SOLD)
REQUESTED = AuthorisationRequested(amount=500, currency="USD", method="pm_ok", at=SOLD)
SAID_YES = RecordAuthorisation("o1", "authorised", "a1")
SAID_NO = RecordAuthorisation("o1", "declined", reason="no money")
AUTHORISED = PaymentAuthorised(amount=500, reference="a1", at=SOLD)
DECLINED = PaymentDeclined(reason="no money", at=SOLD)
IS_AUTHORISED = (REQUESTED, AUTHORISED)

CAPTURE = CapturePayment("o1", SENT)
CAPTURING = CaptureRequested(amount=500, currency="USD", method="pm_ok", authorisation="a1", at=SENT)
CAME = RecordCapture("o1", "captured", "c1")
CAME_NOT = RecordCapture("o1", "failed", reason="account closed")
CAPTURED = PaymentCaptured(amount=500, reference="c1", at=SENT)
IS_CAPTURED = (*IS_AUTHORISED, CAPTURING, CAPTURED)

VOID = VoidPayment("o1", ENDED)
VOIDING = VoidRequested(amount=500, currency="USD", method="pm_ok", authorisation="a1", at=ENDED)
LET_GO = RecordVoid("o1", "voided", "v1")
NOT_LET_GO = RecordVoid("o1", "failed", reason="not found")

FREE = RequestPayment("o1", 0, "USD", "pm_ok", SOLD)
NOTHING_TO_PAY = PaymentAuthorised(amount=0, reference="", at=SOLD)
NOTHING_CAPTURED = PaymentCaptured(amount=0, reference="", at=SENT)

TEA, JAM = RefundLine("tea", 2, 300), RefundLine("jam", 1, 200)
ONE_TEA = RefundLine("tea", 1, 150)


def refund(*lines: RefundLine, rest: bool = False, at: datetime | None = ENDED) -> RefundPayment:
    """Pay these lines back."""
    return RefundPayment("o1", lines, "spoiled", rest, at)


def refunding(number: int, *lines: RefundLine, at: datetime = ENDED) -> RefundRequested:
    """The provider is asked to pay these lines back."""
    return RefundRequested(
        refund=number,
        lines=refunded_lines(*lines),
        amount=sum(line.amount for line in lines),
        currency="USD",
        method="pm_ok",
        capture="c1",
        reason="spoiled",
        at=at,
    )


def refunded(number: int, *lines: RefundLine) -> PaymentRefunded:
    """These lines were paid back."""
    amount = sum(line.amount for line in lines)
    return PaymentRefunded(refund=number, lines=refunded_lines(*lines), amount=amount, reference=f"r{number}", at=ENDED)


def refunded_lines(*lines: RefundLine) -> tuple[RefundedLine, ...]:
    return tuple(RefundedLine(line.sku, line.quantity, line.amount) for line in lines)


def paid_back(number: int) -> RecordRefund:
    return RecordRefund("o1", number, "refunded", f"r{number}")


def not_paid_back(number: int) -> RecordRefund:
    return RecordRefund("o1", number, "failed", reason="account closed")
