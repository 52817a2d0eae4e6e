"""What is in stock, by site and by product: one row each, from the first receipt or count on."""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict, replace

from common.messages import Id, Query, Text
from common.readmodel import Key, sums
from common.store.pages import Pages
from common.store.read_tables import Kept, Table
from projectors._movements import STOCK_EVENTS, StockEvent, movements


class StockLevel(Struct, frozen=True):
    """How much of a product is on hand at a site, and how much of that is set aside for orders."""

    site: str
    sku: str
    on_hand: int
    reserved: int


def adds(stream: str, event: StockEvent) -> dict[Key, tuple[int, ...]]:
    return {(stream, sku): moved for sku, moved in movements(event).items()}


MODEL = replace(
    sums(
        name="stock_levels",
        row=StockLevel,
        key=("site", "sku"),
        follows={"stock": STOCK_EVENTS},
        adds=adds,
        version=2,
    ),
    indexes=("sku, site",),
    fillfactor=70,
)
TABLE = Table(MODEL)
BY_SKU = Pages(TABLE, ("sku",), tuple[Id])
BY_SITE = Pages(TABLE, ("site",), tuple[Id])


class StockLevelView(StockLevel, frozen=True, kw_only=True):
    """A level. `available` is what nobody has reserved; `position` is that of the record that this answer reflects."""

    available: int
    position: int


class StockPage(Struct, frozen=True):
    """Levels. `next`, given as `after`, leads to the page that follows; None when this is the last."""

    levels: list[StockLevelView]
    next: str | None


class GetStockLevel(Query, get="/stock/{site}/levels/{sku}", answer=StockLevelView):
    """What a site has of one product."""

    site: Id
    sku: Id


class ListStock(Query, kw_only=True, get="/stock/{site}", stream="stock", answer=StockPage):
    """What a site has, by SKU."""

    site: Id
    limit: Annotated[int, Meta(ge=1, le=500)] = 20
    after: Text | None = None


class ListProductStock(Query, kw_only=True, get="/products/{sku}/stock", answer=StockPage):
    """Which sites have had a product and what they have of it, by site."""

    sku: Id
    limit: Annotated[int, Meta(ge=1, le=500)] = 20
    after: Text | None = None


async def get_stock_level(query: GetStockLevel, connection: Any) -> StockLevelView | None:
    record = await connection.fetchrow(f"{TABLE.select} WHERE site = $1 AND sku = $2", query.site, query.sku)
    return view(TABLE.kept(record)) if record else None


async def list_stock(query: ListStock, connection: Any) -> StockPage:
    rows, after = await BY_SKU.page(connection, {"site = ${}": query.site}, query.limit, query.after)
    return StockPage([view(row) for row in rows], after)


async def list_product_stock(query: ListProductStock, connection: Any) -> StockPage:
    rows, after = await BY_SITE.page(connection, {"sku = ${}": query.sku}, query.limit, query.after)
    return StockPage([view(row) for row in rows], after)


def view(kept: Kept) -> StockLevelView:
    row: StockLevel = kept.row
    available = row.on_hand - row.reserved
    return StockLevelView(**asdict(row), available=available, position=kept.positions["stock"])


QUERIES = {GetStockLevel: get_stock_level, ListStock: list_stock, ListProductStock: list_product_stock}
