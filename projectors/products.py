"""The catalogue: one row a product, found by its SKU, a department, or words of its name, description or SKU."""

from typing import Annotated, Any

import msgspec
from msgspec import Meta, Struct

from common.messages import Id, Query, Text
from common.readmodel import Key, ReadModel
from common.store.read_tables import Kept, Table
from contexts.product.events import PriceChanged, Product, ProductAdded, ProductDescribed, ProductDiscontinued

ProductEvent = ProductAdded | PriceChanged | ProductDescribed | ProductDiscontinued

WORDS = "(name || ' ' || sku || ' ' || description)"


def keys(stream: str, event: ProductEvent) -> list[Key]:
    """A SKU belongs to one product for ever, so it can be the key."""
    return [(event.product.sku,)]


def apply(row: Product | None, stream: str, event: ProductEvent) -> Product:
    """Each event carries the whole row after it."""
    return event.product


MODEL = ReadModel(
    name="products",
    row=Product,
    key=("sku",),
    follows={"product": (ProductAdded, PriceChanged, ProductDescribed, ProductDiscontinued)},
    keys=keys,
    apply=apply,
    indexes=("department, sku", f"USING gin ({WORDS} gin_trgm_ops)"),
)
TABLE = Table(MODEL)


class ProductView(Product, frozen=True, kw_only=True):
    """A product, with the version of its stream and the position of the record that this answer reflects."""

    version: int
    position: int


class ProductPage(Struct, frozen=True):
    """Products by SKU. `next`, given as `after`, leads to the page that follows; None when this is the last."""

    products: list[ProductView]
    next: str | None


class GetProduct(Query, get="/products/{sku}", stream="product", stream_field="product_id", answer=ProductView):
    """One product, by its SKU."""

    sku: Id


class ListProducts(Query, kw_only=True, get="/products", answer=ProductPage):
    """Products, by SKU. `q` is part of a name, a description or a SKU, in any case."""

    q: Text | None = None
    department: Text | None = None
    limit: Annotated[int, Meta(ge=1, le=100)] = 20
    after: Id | None = None


async def get_product(query: GetProduct, connection: Any) -> ProductView | None:
    record = await connection.fetchrow(f"{TABLE.select} WHERE sku = $1", query.sku)
    return view(TABLE.kept(record)) if record else None


async def list_products(query: ListProducts, connection: Any) -> ProductPage:
    conditions: list[str] = []
    values: list[Any] = []
    wanted = {
        f"{WORDS} ILIKE ${{}}": None if query.q is None else f"%{literally(query.q)}%",
        "department = ${}": query.department,
        "sku > ${}": query.after,
    }
    for condition, value in wanted.items():
        if value is not None:
            values.append(value)
            conditions.append(condition.format(len(values)))
    where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
    records = await connection.fetch(f"{TABLE.select} {where} ORDER BY sku LIMIT {query.limit + 1}", *values)
    products = [view(TABLE.kept(record)) for record in records[: query.limit]]
    return ProductPage(products, products[-1].sku if len(records) > query.limit else None)


def literally(text: str) -> str:
    """The text as a pattern that matches itself."""
    return text.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")


def view(kept: Kept) -> ProductView:
    return ProductView(**msgspec.structs.asdict(kept.row), version=kept.version, position=kept.positions["product"])


QUERIES = {GetProduct: get_product, ListProducts: list_products}
