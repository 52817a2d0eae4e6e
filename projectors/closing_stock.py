"""The stock on hand at the end of a business day (UTC), by site and product.

A row is how much came in or left on a day; what was on hand when a day ended is the sum of all days up to it. A count
moves what it finds too much or too little. What is set aside for orders is a matter of now: see the stock levels.
"""

from datetime import UTC, date
from typing import Annotated, Any

from msgspec import Meta, Struct

from common.messages import Id, LongText, Query, Rejected
from common.readmodel import Key, sums
from common.store.pages import read_place, write_place
from common.store.read_tables import Table
from contexts.stock.events import ReservationShipped, ReturnTakenBack, StockCounted, StockReceived
from projectors._movements import StockEvent, movements


class Movement(Struct, frozen=True):
    """By how much a product became more, or less, at a site on a day."""

    site: str
    sku: str
    day: date
    moved: int


def adds(stream: str, event: StockEvent) -> dict[Key, tuple[int, ...]]:
    day = event.at.astimezone(UTC).date()
    return {(stream, sku, day): (moved,) for sku, (moved, _) in movements(event).items()}


MODEL = sums(
    name="closing_stock",
    row=Movement,
    key=("site", "sku", "day"),
    follows={"stock": (StockReceived, StockCounted, ReservationShipped, ReturnTakenBack)},
    adds=adds,
)
TABLE = Table(MODEL)


class ClosingLevel(Struct, frozen=True):
    """What was on hand of a product at a site. Below 0 is what left, by its time of business, before it had come in."""

    site: str
    sku: str
    on_hand: int


class ClosingStockPage(Struct, frozen=True):
    """Levels at the end of `day`, by site and SKU, of what had come in or been counted by then.

    `next`, given as `after`, leads to the page that follows; None when this is the last.
    """

    day: date
    levels: list[ClosingLevel]
    next: str | None


class GetClosingStock(Query, kw_only=True, get="/closing-stock/{day}", answer=ClosingStockPage):
    """What was on hand when a business day ended: at a site, of a product, or both. Days are in UTC."""

    day: date
    site: Id | None = None
    sku: Id | None = None
    limit: Annotated[int, Meta(ge=1, le=500)] = 20
    after: LongText | None = None


async def get_closing_stock(query: GetClosingStock, connection: Any) -> ClosingStockPage:
    """Raises `Rejected` when neither is named, and when `after` is not where a page of ours has ended."""
    if query.site is None and query.sku is None:
        raise Rejected("malformed", "a site or a SKU must be named - at `$.site`")
    wanted = {"day <= ${}": query.day, "site = ${}": query.site, "sku = ${}": query.sku}
    of, along = (query.site, query.sku), "sku" if query.site else "site"
    if query.after is not None:
        (last,) = read_place(query.after, tuple[Id | None, Id | None, Id], of)
        wanted[f"{along} > ${{}}"] = last
    given = {condition: value for condition, value in wanted.items() if value is not None}
    where = " AND ".join(condition.format(number) for number, condition in enumerate(given, 1))
    records = await connection.fetch(
        f"SELECT site, sku, sum(moved)::bigint AS on_hand FROM {TABLE.name} WHERE {where}"
        f" GROUP BY site, sku ORDER BY site, sku LIMIT {query.limit + 1}",
        *given.values(),
    )
    levels = [ClosingLevel(**record) for record in records[: query.limit]]
    after = write_place([getattr(levels[-1], along)], of) if len(records) > query.limit else None
    return ClosingStockPage(query.day, levels, after)


QUERIES = {GetClosingStock: get_closing_stock}
