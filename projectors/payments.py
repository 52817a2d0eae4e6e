"""Payments as they stand: one row an order's payment."""

from datetime import datetime
from typing import Any, Literal

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from common.messages import Event, Id, Query
from common.readmodel import Key, ReadModel
from common.store.read_tables import Kept, Table
from contexts.payment.events import (
    AuthorisationRequested,
    CaptureFailed,
    CaptureRequested,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    PaymentVoided,
    RefundedLine,
    RefundFailed,
    RefundRequested,
    VoidFailed,
    VoidRequested,
)

PaymentState = Literal[
    "requested",
    "authorised",
    "declined",
    "capturing",
    "captured",
    "capture-failed",
    "voiding",
    "voided",
    "void-failed",
    "refunded",
]
RefundState = Literal["requested", "refunded", "failed"]


class RefundRow(Struct, frozen=True, kw_only=True):
    """One refund, asked for `at` and paid, or refused, `settled_at`. `failure` says why a failed one was not paid."""

    refund: int
    amount: int
    lines: tuple[RefundedLine, ...]
    reason: str
    state: RefundState
    at: datetime
    failure: str | None = None
    settled_at: datetime | None = None


class PaymentRow(Struct, frozen=True, kw_only=True):
    """The payment of an order, in minor units of `currency`, which is None when there was nothing to pay.

    `state` is `refunded` once all that was captured has been paid back; `being_refunded` is asked for, not yet paid.
    `failure` is why it was declined, or not captured, or not let go; `capture_attempts` counts how often the money was
    asked for. All times are of business.
    """

    order_id: str
    state: PaymentState = "requested"
    amount: int = 0
    currency: str | None = None
    method: str | None = None
    authorised: int = 0
    captured: int = 0
    refunded: int = 0
    being_refunded: int = 0
    refunds: tuple[RefundRow, ...] = ()
    failure: str | None = None
    requested_at: datetime | None = None
    authorised_at: datetime | None = None
    declined_at: datetime | None = None
    captured_at: datetime | None = None
    voided_at: datetime | None = None
    capture_attempts: int = 0


def keys(stream: str, event: Event) -> list[Key]:
    return [(stream,)]


def apply(row: PaymentRow | None, stream: str, event: Event) -> PaymentRow:
    row = row or PaymentRow(order_id=stream)
    match event:
        case AuthorisationRequested(amount=amount, currency=currency, method=method, at=at):
            return replace(row, amount=amount, currency=currency, method=method, requested_at=at)
        case PaymentAuthorised(amount=amount, at=at):
            asked_at = row.requested_at or at
            return replace(row, state="authorised", authorised=amount, requested_at=asked_at, authorised_at=at)
        case PaymentDeclined(reason=reason, at=at):
            return replace(row, state="declined", failure=reason, declined_at=at)
        case CaptureRequested(attempt=attempt):
            return replace(row, state="capturing", capture_attempts=attempt)
        case PaymentCaptured(amount=amount, at=at):
            return replace(row, state="captured", captured=amount, captured_at=at, failure=None)
        case CaptureFailed(reason=reason):
            return replace(row, state="capture-failed", failure=reason)
        case VoidRequested(authorisation=str(authorisation)) if authorisation:
            return replace(row, state="voiding")
        case PaymentVoided(at=at):
            return replace(row, state="voided", voided_at=at)
        case VoidFailed(reason=reason):
            return replace(row, state="void-failed", failure=reason)
        case RefundRequested():
            return with_refunds(row, [*row.refunds, refund_requested(event)])
        case PaymentRefunded(refund=number, at=at):
            return with_refunds(row, [settled(each, number, "refunded", at) for each in row.refunds])
        case RefundFailed(refund=number, reason=reason, at=at):
            return with_refunds(row, [settled(each, number, "failed", at, reason) for each in row.refunds])
        case _:
            return row


def refund_requested(event: RefundRequested) -> RefundRow:
    return RefundRow(
        refund=event.refund,
        amount=event.amount,
        lines=event.lines,
        reason=event.reason,
        state="requested",
        at=event.at,
    )


def settled(refund: RefundRow, number: int, state: RefundState, at: datetime, failure: str | None = None) -> RefundRow:
    """The refund, settled when it is the one of this number."""
    return replace(refund, state=state, failure=failure, settled_at=at) if refund.refund == number else refund


def with_refunds(row: PaymentRow, refunds: list[RefundRow]) -> PaymentRow:
    refunded, requested = total(refunds, "refunded"), total(refunds, "requested")
    state: PaymentState = "refunded" if refunded and refunded == row.captured else row.state
    return replace(row, refunds=tuple(refunds), refunded=refunded, being_refunded=requested, state=state)


def total(refunds: list[RefundRow], state: RefundState) -> int:
    return sum(each.amount for each in refunds if each.state == state)


MODEL = ReadModel(
    name="payments",
    row=PaymentRow,
    key=("order_id",),
    follows={
        "payment": (
            AuthorisationRequested,
            PaymentAuthorised,
            PaymentDeclined,
            CaptureRequested,
            PaymentCaptured,
            CaptureFailed,
            VoidRequested,
            PaymentVoided,
            VoidFailed,
            RefundRequested,
            PaymentRefunded,
            RefundFailed,
        )
    },
    keys=keys,
    apply=apply,
    fillfactor=60,
    version=2,
)
TABLE = Table(MODEL)


class PaymentView(PaymentRow, frozen=True, kw_only=True):
    """A payment, with the version of its stream and the position of the record that this answer reflects."""

    version: int
    position: int


class GetPayment(Query, get="/payments/{order_id}", stream="payment", awaits="state", answer=PaymentView):
    """The payment of one order."""

    order_id: Id


async def get_payment(query: GetPayment, connection: Any) -> PaymentView | None:
    record = await connection.fetchrow(f"{TABLE.select} WHERE order_id = $1", query.order_id)
    return view(TABLE.kept(record)) if record else None


def view(kept: Kept) -> PaymentView:
    return PaymentView(**msgspec.structs.asdict(kept.row), version=kept.version, position=kept.positions["payment"])


QUERIES = {GetPayment: get_payment}
