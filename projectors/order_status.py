"""Where each order stands, in a bucket of keys and values (NATS key-value): to ask for, and to watch as it changes.

One value an order, under its id. There is nothing personal in it.
"""

from datetime import datetime
from typing import Any

from msgspec import Struct
from msgspec.structs import replace
from nats.aio.client import Client

from common.bucketmodel import BucketModel
from common.bus.bucket import Bucket
from common.messages import Event, Id, Query
from contexts.order.events import (
    CancellationCameTooLate,
    CancellationRequested,
    DeliveryRecalled,
    OrderAdmitted,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderDispatched,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderReserved,
    OrderReturned,
    PaymentFailed,
    PaymentNoLongerNeeded,
    RefundOwed,
    ReservationNoLongerNeeded,
)
from projectors._states import OrderState


class OrderStatus(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """How it stands with an order, and since when (`at`, of business).

    `cause` is a code that says why it is cancelled, or is to be; `reason` says more. `paid` and `refunded` are in minor
    units of `currency`. `version` is that of the order's stream, `position` where its last event lies in the record.
    """

    order_id: str
    state: OrderState
    at: datetime
    customer_id: str
    currency: str
    paid: int = 0
    refunded: int = 0
    cause: str = ""
    reason: str = ""
    version: int = 0
    position: int = 0


STATES: dict[type[Event], OrderState] = {
    OrderAdmitted: "admitted",
    OrderReserved: "reserved",
    OrderConfirmed: "confirmed",
    OrderDispatched: "dispatched",
    OrderDelivered: "delivered",
}
"""Where an order stands by events that say no more of that."""

NOTED = (
    CancellationCameTooLate,
    ReservationNoLongerNeeded,
    PaymentNoLongerNeeded,
    DeliveryRecalled,
    RefundOwed,
    PaymentFailed,
)
"""They change nothing here but the version of the stream, which is what `If-Match` compares."""


def apply(value: OrderStatus | None, stream: str, event: Any) -> OrderStatus | None:
    if isinstance(event, OrderPlaced):
        return OrderStatus(
            order_id=stream, state="placed", at=event.at, customer_id=event.customer_id, currency=event.currency
        )
    if value is None:
        return None
    if state := STATES.get(type(event)):
        return replace(value, state=state, at=event.at)
    match event:
        case OrderReturned(at=at, reason=reason):
            return replace(value, state="returned", at=at, reason=reason)
        case CancellationRequested(at=at, cause=cause, reason=reason):
            return replace(value, state="cancelling", at=at, cause=cause, reason=reason)
        case OrderCancelled(at=at, cause=cause, reason=reason):
            return replace(value, state="cancelled", at=at, cause=cause, reason=reason)
        case CancellationCameTooLate():
            return replace(value, cause="", reason="")
        case OrderPaid(amount=amount):
            return replace(value, paid=amount)
        case OrderRefunded(amount=amount):
            return replace(value, refunded=value.refunded + amount)
        case _:
            return value


MODEL = BucketModel(
    name="order-status",
    value=OrderStatus,
    key="order_id",
    follows={
        "order": (
            OrderPlaced,
            *STATES,
            OrderReturned,
            CancellationRequested,
            OrderCancelled,
            OrderPaid,
            OrderRefunded,
            *NOTED,
        )
    },
    apply=apply,
)
BUCKET = Bucket(MODEL)


class GetOrderStatus(Query, get="/order-status/{order_id}", awaits="state", answer=OrderStatus):
    """How it stands with an order. Asked for as `text/event-stream`, it is told now and again with every change."""

    order_id: Id


async def get_order_status(query: GetOrderStatus, nc: Client) -> OrderStatus | None:
    status: OrderStatus | None = await BUCKET.get(nc, query.order_id)
    return status


QUERIES = {GetOrderStatus: get_order_status}
