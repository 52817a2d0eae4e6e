"""Orders as they stand: one row an order. Where they go is personal and stays in the record."""

from datetime import datetime
from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from common.messages import Event, Id, Instant, Query, Text
from common.readmodel import Key, ReadModel
from common.store.pages import Pages
from common.store.read_tables import Kept, Table
from contexts.order.events import (
    CancellationCameTooLate,
    CancellationRequested,
    DeliveryRecalled,
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
    PaymentNoLongerNeeded,
    RefundOwed,
    ReservationNoLongerNeeded,
)
from projectors._states import OrderState, in_state


class OrderRow(Struct, frozen=True, kw_only=True):
    """An order. `total`, `paid` and `refunded` are in minor units of `currency`; times are those of business.

    `cancel_cause` is a code, `cancel_reason` says more. `payment_problem` tells what the provider did not do, until
    the money has come after all.
    """

    order_id: str
    customer_id: str
    site: str
    channel: str
    currency: str
    state: OrderState
    total: int
    units: int
    lines: tuple[OrderLine, ...]
    payment_method: str
    placed_at: datetime
    paid: int = 0
    refunded: int = 0
    dispatched_at: datetime | None = None
    delivered_at: datetime | None = None
    returned_at: datetime | None = None
    cancelled_at: datetime | None = None
    cancel_cause: str | None = None
    cancel_reason: str | None = None
    payment_problem: str | None = None


def keys(stream: str, event: Event) -> list[Key]:
    return [(stream,)]


STATES: dict[type[Event], OrderState] = {
    OrderAdmitted: "admitted",
    OrderReserved: "reserved",
    OrderConfirmed: "confirmed",
    CancellationRequested: "cancelling",
}
"""Where an order is by events that change nothing else of its row."""

NOTED = (CancellationCameTooLate, ReservationNoLongerNeeded, PaymentNoLongerNeeded, DeliveryRecalled, RefundOwed)
"""They change nothing here but the version of the stream, which is what `If-Match` compares."""


def apply(row: OrderRow | None, stream: str, event: Event) -> OrderRow | None:
    if isinstance(event, OrderPlaced):
        return placed(stream, event)
    if row is None:
        return None
    if state := STATES.get(type(event)):
        return replace(row, state=state)
    match event:
        case OrderDispatched(at=at):
            return replace(row, state="dispatched", dispatched_at=at)
        case OrderDelivered(at=at):
            return replace(row, state="delivered", delivered_at=at)
        case OrderReturned(at=at):
            return replace(row, state="returned", returned_at=at)
        case OrderCancelled(at=at, cause=cause, reason=reason):
            return replace(row, state="cancelled", cancelled_at=at, cancel_cause=cause, cancel_reason=reason)
        case OrderPaid(amount=amount):
            mended = (row.payment_problem or "").startswith("capture: ")
            return replace(row, paid=amount, payment_problem=None if mended else row.payment_problem)
        case OrderRefunded(amount=amount):
            return replace(row, refunded=row.refunded + amount)
        case PaymentFailed(step=step, reason=reason):
            return replace(row, payment_problem=f"{step}: {reason}")
        case _:
            return row


def placed(stream: str, event: OrderPlaced) -> OrderRow:
    return OrderRow(
        order_id=stream,
        customer_id=event.customer_id,
        site=event.site,
        channel=event.channel,
        currency=event.currency,
        state="placed",
        total=sum(line.amount for line in event.lines),
        units=sum(line.quantity for line in event.lines),
        lines=event.lines,
        payment_method=event.payment_method,
        placed_at=event.at,
    )


UNDERWAY = "delivered_at IS NULL AND returned_at IS NULL AND cancelled_at IS NULL"
UNDONE = "(cancelled_at IS NOT NULL OR returned_at IS NOT NULL)"
"""These two find the few orders of a state among all that were delivered. An index of the state itself would have to
be told of every step of every order."""

MODEL = ReadModel(
    name="orders",
    row=OrderRow,
    key=("order_id",),
    follows={
        "order": (
            OrderPlaced,
            *STATES,
            OrderDispatched,
            OrderDelivered,
            OrderReturned,
            OrderCancelled,
            OrderPaid,
            OrderRefunded,
            PaymentFailed,
            *NOTED,
        )
    },
    keys=keys,
    apply=apply,
    indexes=(
        "placed_at DESC, order_id DESC",
        "customer_id, placed_at DESC, order_id DESC",
        "site, placed_at DESC, order_id DESC",
        f"USING btree (placed_at DESC, order_id DESC) WHERE {UNDERWAY}",
        f"USING btree (placed_at DESC, order_id DESC) WHERE {UNDONE}",
    ),
    fillfactor=50,
    version=2,
)
TABLE = Table(MODEL)
NEWEST = Pages(TABLE, ("placed_at", "order_id"), tuple[Instant, Id], descending=True)


class OrderView(OrderRow, frozen=True, kw_only=True):
    """An order, with the version of its stream and the position of the record that this answer reflects."""

    version: int
    position: int


class OrderPage(Struct, frozen=True):
    """Orders, newest first. `next`, given as `after`, leads to the page that follows; None when this is the last."""

    orders: list[OrderView]
    next: str | None


class GetOrder(Query, get="/orders/{order_id}", stream="order", awaits="state", answer=OrderView):
    """One order."""

    order_id: Id


class ListOrders(Query, kw_only=True, get="/orders", answer=OrderPage):
    """Orders, newest first, by any of customer, site, state and time. `since` is included, `until` is not."""

    customer: Id | None = None
    site: Id | None = None
    state: OrderState | None = None
    since: Instant | None = None
    until: Instant | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: Text | None = None


class CustomerTotals(Struct, frozen=True):
    """All orders of a customer in one currency, in its minor units.

    `orders` that were not cancelled come to `ordered`; `cancelled` counts the others. `paid` and `refunded` is of all.
    """

    currency: str
    orders: int
    ordered: int
    cancelled: int
    paid: int
    refunded: int
    first_placed_at: datetime
    last_placed_at: datetime


class CustomerOrders(Struct, frozen=True):
    """What a customer has ordered, ever: sums by currency, and orders, newest first. `next` is as with all orders."""

    totals: list[CustomerTotals]
    orders: list[OrderView]
    next: str | None


class ListCustomerOrders(Query, kw_only=True, get="/customers/{customer_id}/orders", answer=CustomerOrders):
    """The orders of a customer, newest first, all or those in a state, and what all of them come to.

    Of somebody who has never ordered there are none.
    """

    customer_id: Id
    state: OrderState | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: Text | None = None


TOTALS = f"""
SELECT currency, count(*) FILTER (WHERE cancelled_at IS NULL),
    coalesce(sum(total) FILTER (WHERE cancelled_at IS NULL), 0)::bigint, count(cancelled_at),
    sum(paid)::bigint, sum(refunded)::bigint, min(placed_at), max(placed_at)
FROM {TABLE.name} WHERE customer_id = $1 GROUP BY currency ORDER BY currency
"""


async def get_order(query: GetOrder, connection: Any) -> OrderView | None:
    record = await connection.fetchrow(f"{TABLE.select} WHERE order_id = $1", query.order_id)
    return view(TABLE.kept(record)) if record else None


async def list_orders(query: ListOrders, connection: Any) -> OrderPage:
    wanted = {
        "customer_id = ${}": query.customer,
        "site = ${}": query.site,
        in_state(query.state, UNDERWAY, UNDONE): query.state,
        "placed_at >= ${}": query.since,
        "placed_at < ${}": query.until,
    }
    rows, after = await NEWEST.page(connection, wanted, query.limit, query.after)
    return OrderPage([view(row) for row in rows], after)


async def list_customer_orders(query: ListCustomerOrders, connection: Any) -> CustomerOrders:
    wanted = {"customer_id = ${}": query.customer_id, in_state(query.state, UNDERWAY, UNDONE): query.state}
    rows, after = await NEWEST.page(connection, wanted, query.limit, query.after)
    totals = [CustomerTotals(*record) for record in await connection.fetch(TOTALS, query.customer_id)]
    return CustomerOrders(totals, [view(row) for row in rows], after)


def view(kept: Kept) -> OrderView:
    return OrderView(**msgspec.structs.asdict(kept.row), version=kept.version, position=kept.positions["order"])


QUERIES = {GetOrder: get_order, ListOrders: list_orders, ListCustomerOrders: list_customer_orders}
