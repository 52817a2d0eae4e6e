"""The catalogue: one row a product, with what all sites together have of it that nobody has reserved.

It follows product and stock, in whatever order they come: stock of a product that no catalogue knows makes a row that
is not shown until the product is there. A shipment changes nothing here, since what leaves had been reserved.
"""

from typing import Annotated, Any

from msgspec import Meta, Struct
from msgspec.structs import asdict, replace

from common.messages import Currency, Id, Money, Query, Rejected, Text
from common.readmodel import Key, ReadModel
from common.store.pages import Pages, Source
from common.store.read_tables import Kept, Table
from contexts.product.events import PriceChanged, Product, ProductAdded, ProductDescribed, ProductDiscontinued
from contexts.stock.events import ReservationShipped
from projectors import catalogue_words
from projectors._movements import STOCK_EVENTS, StockEvent, movements
from projectors.catalogue_words import Meant, meant, mended, words_of

ProductEvent = ProductAdded | PriceChanged | ProductDescribed | ProductDiscontinued
PRODUCT_EVENTS = (ProductAdded, PriceChanged, ProductDescribed, ProductDiscontinued)


class ProductRow(Product, frozen=True, kw_only=True):
    """A product, the words it is found by, and what can be ordered of it at all sites."""

    words: tuple[str, ...] = ()
    available: int = 0


def keys(stream: str, event: ProductEvent | StockEvent) -> list[Key]:
    """A SKU belongs to one product for ever, so it can be the key."""
    if isinstance(event, PRODUCT_EVENTS):
        return [(event.product.sku,)]
    return [(sku,) for sku in movements(event)]


def blank(key: Key) -> ProductRow:
    """What is no product yet."""
    return ProductRow(
        product_id="", sku=key[0], name="", department="", price=0, currency="", description="", discontinued=False
    )


def apply(row: ProductRow, stream: str, event: ProductEvent | StockEvent) -> ProductRow:
    """Each event of a product carries all of it; each of stock says what has changed."""
    if isinstance(event, PRODUCT_EVENTS):
        product = event.product
        words = words_of(f"{product.sku} {product.name} {product.description}")
        return ProductRow(**asdict(product), words=tuple(words), available=row.available)
    on_hand, reserved = movements(event)[row.sku]
    return replace(row, available=row.available + on_hand - reserved)


MODEL = ReadModel(
    name="products",
    row=ProductRow,
    key=("sku",),
    follows={
        "product": PRODUCT_EVENTS,
        "stock": tuple(each for each in STOCK_EVENTS if each is not ReservationShipped),
    },
    keys=keys,
    blank=blank,
    apply=apply,
    versioned="product",
    indexes=(
        "department, sku",
        "currency, price, sku",
        "department, currency, price, sku",
        "USING gin (words)",
    ),
    fillfactor=70,
    version=2,
)
READS = (catalogue_words.MODEL,)
TABLE = Table(MODEL)
BY_SKU = Pages(TABLE, ("sku",), tuple[Id])
BY_PRICE = Pages(TABLE, ("price", "sku"), tuple[Money, Id])
UNLISTED = 0
"""The version of what has stock and is no product."""
MOST_WORDS = 10
COMMON, VERY_COMMON = 2_000, 8_000
"""A word that is used more often is looked for by going through the products in order: a page of them is found sooner
than all of them by the index. Of several words few products may have all: the second is when the rarest is that common.
Measured with 92,331 products."""


class ProductView(Product, frozen=True, kw_only=True):
    """A product, with the version of its stream and the position of the record of products that this answer reflects.

    `available` is what is on hand at all sites and nobody has reserved.
    """

    available: int
    version: int
    position: int


class ProductPage(Struct, frozen=True):
    """Products. `next`, given as `after`, leads to the page that follows; None when this is the last.

    `searched_for` is what was looked for instead of `q`, where the catalogue does not know a word of it but one that is
    written alike; else None.
    """

    products: list[ProductView]
    next: str | None
    searched_for: str | None


class GetProduct(Query, get="/products/{sku}", stream="product", stream_field="product_id", answer=ProductView):
    """One product, by its SKU."""

    sku: Id


class ListProducts(Query, kw_only=True, get="/products", answer=ProductPage):
    """Products by SKU; where a price is stated, which names its currency too, the cheapest first.

    Of `q`, every word must be part of a word of the name or the description, or be a word of the SKU: in any order, in
    any case, with or without accents. One or two letters must be its beginning, a number all of it. What is part of
    very many words stands for the hundred most used.
    """

    q: Text | None = None
    department: Text | None = None
    min_price: Money | None = None
    max_price: Money | None = None
    currency: Currency | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: Text | None = None


async def get_product(query: GetProduct, connection: Any) -> ProductView | None:
    record = await connection.fetchrow(f"{TABLE.select} WHERE sku = $1 AND version > {UNLISTED}", query.sku)
    return view(TABLE.kept(record)) if record else None


async def list_products(query: ListProducts, connection: Any) -> ProductPage:
    if query.q is None:
        return await page(query, connection, [])
    asked = words_of(query.q)
    if not 1 <= len(asked) <= MOST_WORDS:
        raise Rejected("malformed", f"must have 1 to {MOST_WORDS} words - at `$.q`")
    known = await meant(connection, asked)
    found = await page(query, connection, known)
    if found.products or not (other := await mended(connection, known)):
        return found
    again = await page(query, connection, await meant(connection, other))
    return replace(again, searched_for=" ".join(other))


async def page(query: ListProducts, connection: Any, words: list[Meant]) -> ProductPage:
    """Finds the products by their words, or goes through them in order where their words are too common for that."""
    priced = query.min_price is not None or query.max_price is not None
    if priced != (query.currency is not None):
        raise Rejected("malformed", "a price and its currency must be named together - at `$.currency`")
    if query.min_price is not None and query.max_price is not None and query.max_price < query.min_price:
        raise Rejected("malformed", "must not be below `min_price` - at `$.max_price`")
    wanted: list[tuple[str, Any]] = [
        ("version > ${}", UNLISTED),
        ("department = ${}", query.department),
        ("currency = ${}", query.currency),
        ("price >= ${}", query.min_price),
        ("price <= ${}", query.max_price),
    ]
    source = None
    if words and min(word.uses for word in words) <= (COMMON if len(words) == 1 else VERY_COMMON):
        source = Source(by_words(len(words)), [word.words for word in words])
    else:
        wanted += [(LOOKED_AT, word.words) for word in words]
    order = BY_PRICE if priced else BY_SKU
    rows, after = await order.page(connection, wanted, query.limit, query.after, source)
    return ProductPage([view(row) for row in rows], after, None)


def by_words(count: int) -> str:
    """All products that have one of the words of each of so many arrays, by the index of words."""
    return f"SELECT * FROM {TABLE.name} WHERE " + " AND ".join(f"words ?| ${n + 1}" for n in range(count))


LOOKED_AT = "nullif(words ?| ${}, false) IS NOT NULL"
"""Whether a product has one of the words, said so that Postgres does not look for an index, and expects many."""


def view(kept: Kept) -> ProductView:
    row: ProductRow = kept.row
    values = {name: getattr(row, name) for name in (*Product.__struct_fields__, "available")}
    return ProductView(**values, version=kept.version, position=kept.positions["product"])


QUERIES = {GetProduct: get_product, ListProducts: list_products}
