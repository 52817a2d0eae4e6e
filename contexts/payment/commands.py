"""What may be asked of the payment of an order. Its id is the order's."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from common.messages import Command, Currency, Id, Instant, Money, Text

REASON_LENGTH = 500
Reason = Annotated[str, Meta(max_length=REASON_LENGTH, description="why it was not done, as the provider says it")]
Reference = Annotated[str, Meta(max_length=200, description="the provider's own name for what it did")]


class RefundLine(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What of a line is paid back. `amount` is for all of `quantity`, in minor units."""

    sku: Id
    quantity: Annotated[int, Meta(ge=0, le=1_000_000)]
    amount: Money


class RefundPayment(
    Command,
    key="order_id",
    post="/payments/{order_id}/refund",
    roles={"operator", "reaction"},
    example={"lines": [{"sku": "bananas", "quantity": 1, "amount": 129}], "reason": "bruised"},
):
    """Pay these lines back. Never more than was captured; with `rest` only what of them was not paid back before."""

    order_id: Id
    lines: Annotated[tuple[RefundLine, ...], Meta(min_length=1, max_length=500)]
    reason: Text
    rest: bool = False
    at: Instant | None = None


class RequestPayment(Command, key="order_id"):
    """Make sure of the money before anything is sent. An order that totals 0 needs no provider."""

    order_id: Id
    amount: Money
    currency: Currency
    method: Id
    at: Instant


class CapturePayment(
    Command, key="order_id", post="/payments/{order_id}/capture", roles={"operator", "reaction"}, example={}
):
    """Take the authorised money: the goods have left. When that has failed, an operator may ask for it again."""

    order_id: Id
    at: Instant | None = None


class VoidPayment(Command, key="order_id"):
    """Let go of the authorised money: the order has ended."""

    order_id: Id
    at: Instant


class RecordAuthorisation(Command, key="order_id"):
    """What the provider answered to an authorisation."""

    order_id: Id
    outcome: Literal["authorised", "declined"]
    reference: Reference = ""
    reason: Reason = ""


class RecordCapture(Command, key="order_id"):
    """What the provider answered to a capture, by its number: one that failed may be followed by another."""

    order_id: Id
    outcome: Literal["captured", "failed"]
    reference: Reference = ""
    reason: Reason = ""
    attempt: int = 1


class RecordVoid(Command, key="order_id"):
    """What the provider answered to a void."""

    order_id: Id
    outcome: Literal["voided", "failed"]
    reference: Reference = ""
    reason: Reason = ""


class RecordRefund(Command, key="order_id"):
    """What the provider answered to a refund, by its number."""

    order_id: Id
    refund: int
    outcome: Literal["refunded", "failed"]
    reference: Reference = ""
    reason: Reason = ""
