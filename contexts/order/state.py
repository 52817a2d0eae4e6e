"""An order as its events left it."""

from datetime import datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from common.messages import Event
from common.personal import Personal
from contexts.order.events import (
    CancellationRequested,
    DeliveryRecalled,
    GoodsLine,
    OrderAdmitted,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderDispatched,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderReserved,
    OrderReturned,
    PaymentFailed,
)


class Stage(StrEnum):
    """How far an order has come."""

    NEW = "new"
    PLACED = "placed"
    ADMITTED = "admitted"
    RESERVED = "reserved"
    CONFIRMED = "confirmed"
    CANCELLING = "cancelling"
    CANCELLED = "cancelled"
    DISPATCHED = "dispatched"
    DELIVERED = "delivered"
    RETURNED = "returned"


class Order(Struct, frozen=True, gc=False):
    """An order as its events left it. Before the first one it is new.

    `reserved` tells whether goods are set aside for it, `paid` what was taken for it (None: nothing yet), `cancelling`
    the cause and the reason of a cancellation that delivery is asked about, `noted` what happens once and was said.
    """

    stage: Stage = Stage.NEW
    customer_id: str = ""
    site: str = ""
    deliver_to: Personal | None = None
    payment_method: str = ""
    currency: str = ""
    channel: str = ""
    placed_at: datetime | None = None
    lines: tuple[OrderLine, ...] = ()
    reserved: bool = False
    paid: int | None = None
    cancelling: tuple[str, str] = ("", "")
    noted: frozenset[str] = frozenset()

    @property
    def total(self) -> int:
        return sum(line.amount for line in self.lines)

    @property
    def goods(self) -> tuple[GoodsLine, ...]:
        """What has to be there. A line of quantity 0 is money alone."""
        return tuple(GoodsLine(line.sku, line.quantity) for line in self.lines if line.quantity)


def evolve(order: Order, event: Event) -> Order:
    """The order after the event."""
    match event:
        case OrderPlaced():
            return Order(
                Stage.PLACED,
                event.customer_id,
                event.site,
                event.deliver_to,
                event.payment_method,
                event.currency,
                event.channel,
                event.at,
                event.lines,
            )
        case OrderAdmitted():
            return replace(order, stage=Stage.ADMITTED)
        case OrderReserved():
            return replace(order, stage=Stage.RESERVED, reserved=True)
        case OrderConfirmed():
            return replace(order, stage=Stage.CONFIRMED)
        case CancellationRequested(cause=cause, reason=reason):
            return replace(order, stage=Stage.CANCELLING, cancelling=(cause, reason), reserved=cause != "stock-missing")
        case OrderCancelled():
            return replace(order, stage=Stage.CANCELLED, reserved=False)
        case OrderDispatched():
            return replace(order, stage=Stage.DISPATCHED, reserved=False)
        case OrderPaid(amount=amount):
            return replace(order, paid=amount)
        case OrderDelivered():
            return replace(order, stage=Stage.DELIVERED)
        case OrderReturned():
            return replace(order, stage=Stage.RETURNED)
        case OrderRefunded(refund=refund):
            return note(order, f"refunded {refund}")
        case PaymentFailed(step=step, refund=refund):
            return note(order, f"failed {step} {refund}")
        case DeliveryRecalled():
            return note(order, "recalled")
        case _:
            return order


def note(order: Order, what: str) -> Order:
    return replace(order, noted=order.noted | {what})
