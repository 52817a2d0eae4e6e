"""What is in stock, by site and product: one row each, from the first receipt or count on."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from common.messages import Event, Id, Query
from common.readmodel import Key, ReadModel
from common.store.read_tables import Kept, Table
from contexts.stock.events import (
    ReservationBroken,
    ReservationReleased,
    ReservationShipped,
    ReturnTakenBack,
    StockCounted,
    StockReceived,
    StockReserved,
)

StockEvent = (
    StockReceived
    | StockCounted
    | StockReserved
    | ReservationReleased
    | ReservationShipped
    | ReservationBroken
    | ReturnTakenBack
)


class StockLevel(Struct, frozen=True, kw_only=True):
    """How much of a product is on hand at a site, and how much of that is set aside for orders."""

    site: str
    sku: str
    on_hand: int = 0
    reserved: int = 0


def keys(stream: str, event: StockEvent) -> list[Key]:
    if isinstance(event, StockCounted):
        return [(stream, event.sku)]
    return [(stream, line.sku) for line in event.lines]


def blank(key: Key) -> StockLevel:
    site, sku = key
    return StockLevel(site=site, sku=sku)


def apply(row: StockLevel, stream: str, event: Event) -> StockLevel:
    match event:
        case StockReceived(lines=lines) | ReturnTakenBack(lines=lines):
            return changed(row, on_hand=quantity(row, lines))
        case StockCounted(counted=counted):
            return changed(row, on_hand=counted - row.on_hand)
        case StockReserved(lines=lines):
            return changed(row, reserved=quantity(row, lines))
        case ReservationReleased(lines=lines) | ReservationBroken(lines=lines):
            return changed(row, reserved=-quantity(row, lines))
        case ReservationShipped(lines=lines):
            left = quantity(row, lines)
            return changed(row, on_hand=-left, reserved=-left)
        case _:
            return row


def quantity(row: StockLevel, lines: Any) -> int:
    """How much of the row's product is on the lines, which name each product once."""
    return next((line.quantity for line in lines if line.sku == row.sku), 0)


def changed(row: StockLevel, *, on_hand: int = 0, reserved: int = 0) -> StockLevel:
    return StockLevel(site=row.site, sku=row.sku, on_hand=row.on_hand + on_hand, reserved=row.reserved + reserved)


MODEL = ReadModel(
    name="stock_levels",
    row=StockLevel,
    key=("site", "sku"),
    follows={
        "stock": (
            StockReceived,
            StockCounted,
            StockReserved,
            ReservationReleased,
            ReservationShipped,
            ReservationBroken,
            ReturnTakenBack,
        )
    },
    keys=keys,
    blank=blank,
    apply=apply,
)
TABLE = Table(MODEL)


class StockLevelView(StockLevel, frozen=True, kw_only=True):
    """A level. `available` is what nobody has reserved; `position` is that of the record that this answer reflects."""

    available: int
    position: int


class StockPage(Struct, frozen=True):
    """Levels by SKU. `next`, given as `after`, leads to the page that follows; None when this is the last."""

    levels: list[StockLevelView]
    next: str | None


class GetStockLevel(Query, get="/stock/{site}/{sku}", answer=StockLevelView):
    """What a site has of one product."""

    site: Id
    sku: Id


class ListStock(Query, kw_only=True, get="/stock/{site}", stream="stock", answer=StockPage):
    """What a site has, by SKU."""

    site: Id
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: Id | None = None


async def get_stock_level(query: GetStockLevel, connection: Any) -> StockLevelView | None:
    record = await connection.fetchrow(f"{TABLE.select} WHERE site = $1 AND sku = $2", query.site, query.sku)
    return view(TABLE.kept(record)) if record else None


async def list_stock(query: ListStock, connection: Any) -> StockPage:
    records = await connection.fetch(
        f"{TABLE.select} WHERE site = $1 AND sku > $2 ORDER BY sku LIMIT {query.limit + 1}",
        query.site,
        query.after or "",
    )
    levels = [view(TABLE.kept(record)) for record in records[: query.limit]]
    return StockPage(levels, levels[-1].sku if len(records) > query.limit else None)


def view(kept: Kept) -> StockLevelView:
    row = kept.row
    available = row.on_hand - row.reserved
    return StockLevelView(**msgspec.structs.asdict(row), available=available, position=kept.positions["stock"])


QUERIES = {GetStockLevel: get_stock_level, ListStock: list_stock}
