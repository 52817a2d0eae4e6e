"""Deliveries as they stand: one row an order. Where they go is personal and stays in the record."""

from datetime import datetime
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct
from msgspec.structs import replace

from common.messages import Event, Id, Instant, Query, Text
from common.readmodel import Key, ReadModel
from common.store.pages import Pages
from common.store.read_tables import Kept, Table
from contexts.delivery.events import (
    DeliveryAttemptFailed,
    DeliveryCancelled,
    DeliveryConfirmed,
    DeliveryDispatched,
    DeliveryReturned,
    DeliveryScheduled,
    ParcelLine,
)
from projectors._states import in_state

DeliveryState = Literal["scheduled", "cancelled", "dispatched", "delivered", "returned"]


class DeliveryRow(Struct, frozen=True, kw_only=True):
    """The delivery of an order. Times are those of business.

    `asked_at` is when delivery first heard of it. One that was cancelled before it was scheduled has no site.
    `reason` says why it was cancelled, why it came back, or why the last attempt failed.
    """

    order_id: str
    site: str | None
    state: DeliveryState
    attempts: int = 0
    lines: tuple[ParcelLine, ...] = ()
    asked_at: datetime
    dispatched_at: datetime | None = None
    ended_at: datetime | None = None
    reason: str | None = None


def keys(stream: str, event: Event) -> list[Key]:
    return [(stream,)]


def apply(row: DeliveryRow | None, stream: str, event: Event) -> DeliveryRow | None:
    match event:
        case DeliveryScheduled(site=site, lines=lines, at=at):
            return DeliveryRow(order_id=stream, site=site, state="scheduled", lines=lines, asked_at=at)
        case DeliveryCancelled(reason=reason, at=at):
            row = row or DeliveryRow(order_id=stream, site=None, state="cancelled", asked_at=at)
            return replace(row, state="cancelled", ended_at=at, reason=reason)
        case DeliveryDispatched(at=at) if row:
            return replace(row, state="dispatched", dispatched_at=at)
        case DeliveryAttemptFailed(attempt=attempt, reason=reason) if row:
            return replace(row, attempts=attempt, reason=reason)
        case DeliveryConfirmed(at=at) if row:
            return replace(row, state="delivered", ended_at=at, reason=None)
        case DeliveryReturned(reason=reason, at=at) if row:
            return replace(row, state="returned", ended_at=at, reason=reason)
        case _:
            return row


UNDERWAY = "ended_at IS NULL"
UNDONE = "(ended_at IS NOT NULL AND reason IS NOT NULL)"
"""These two find the few deliveries of a state among all that have arrived, as with orders."""

MODEL = ReadModel(
    name="deliveries",
    row=DeliveryRow,
    key=("order_id",),
    follows={
        "delivery": (
            DeliveryScheduled,
            DeliveryCancelled,
            DeliveryDispatched,
            DeliveryAttemptFailed,
            DeliveryConfirmed,
            DeliveryReturned,
        )
    },
    keys=keys,
    apply=apply,
    indexes=(
        "asked_at, order_id",
        "site, asked_at, order_id",
        f"USING btree (asked_at, order_id) WHERE {UNDERWAY}",
        f"USING btree (asked_at, order_id) WHERE {UNDONE}",
    ),
    fillfactor=70,
    version=2,
)
TABLE = Table(MODEL)
OLDEST = Pages(TABLE, ("asked_at", "order_id"), tuple[Instant, Id])


class DeliveryView(DeliveryRow, frozen=True, kw_only=True):
    """A delivery, with the version of its stream and the position of the record that this answer reflects."""

    version: int
    position: int


class DeliveryPage(Struct, frozen=True):
    """Deliveries, oldest first. `next`, given as `after`, leads to the page that follows; None when it is the last."""

    deliveries: list[DeliveryView]
    next: str | None


class GetDelivery(Query, get="/deliveries/{order_id}", stream="delivery", awaits="state", answer=DeliveryView):
    """The delivery of one order. Who carries it finds the address in its history (role `personal-data-delivery`)."""

    order_id: Id


class ListDeliveries(Query, kw_only=True, get="/deliveries", answer=DeliveryPage):
    """Deliveries, oldest first, by state and site."""

    state: DeliveryState | None = None
    site: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 20
    after: Text | None = None


async def get_delivery(query: GetDelivery, connection: Any) -> DeliveryView | None:
    record = await connection.fetchrow(f"{TABLE.select} WHERE order_id = $1", query.order_id)
    return view(TABLE.kept(record)) if record else None


async def list_deliveries(query: ListDeliveries, connection: Any) -> DeliveryPage:
    wanted = {in_state(query.state, UNDERWAY, UNDONE): query.state, "site = ${}": query.site}
    rows, after = await OLDEST.page(connection, wanted, query.limit, query.after)
    return DeliveryPage([view(row) for row in rows], after)


def view(kept: Kept) -> DeliveryView:
    return DeliveryView(**msgspec.structs.asdict(kept.row), version=kept.version, position=kept.positions["delivery"])


QUERIES = {GetDelivery: get_delivery, ListDeliveries: list_deliveries}
