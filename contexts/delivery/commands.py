"""What may be asked of the delivery of an order. Its id is the order's."""

from typing import Annotated

from msgspec import Meta, Struct

from common.messages import Command, Id, Instant, Text
from common.personal import Personal


class Goods(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """So much of a product is in the parcel."""

    sku: Id
    quantity: Annotated[int, Meta(ge=1, le=1_000_000)]


class DispatchDelivery(
    Command, key="order_id", post="/deliveries/{order_id}/dispatch", roles={"warehouse"}, example={}
):
    """It has left the site: from now on it cannot be cancelled.

    Role `trusted-channel` may state `at`, when that was, here and below; everybody else is refused with
    `delivery.not-yours-to-state`.
    """

    order_id: Id
    at: Instant | None = None


class ConfirmDelivered(Command, key="order_id", post="/deliveries/{order_id}/confirm", roles={"courier"}, example={}):
    """The customer has it."""

    order_id: Id
    at: Instant | None = None


class ReportFailedAttempt(
    Command,
    key="order_id",
    post="/deliveries/{order_id}/report-failed-attempt",
    roles={"courier"},
    example={"reason": "nobody at home"},
):
    """Nobody took it. After the third time it goes back to the site."""

    order_id: Id
    reason: Text
    at: Instant | None = None


class ReturnToSender(
    Command,
    key="order_id",
    post="/deliveries/{order_id}/return",
    roles={"courier", "reaction"},
    example={"reason": "address unknown"},
):
    """It has come back to the site, undelivered."""

    order_id: Id
    reason: Text
    at: Instant | None = None


class ScheduleDelivery(Command, key="order_id"):
    """Send these goods from this site to this customer."""

    order_id: Id
    site: Id
    deliver_to: Personal
    lines: Annotated[tuple[Goods, ...], Meta(max_length=500)]
    at: Instant


class CancelDelivery(Command, key="order_id"):
    """Do not send it, if it has not left yet."""

    order_id: Id
    reason: str
    at: Instant
