"""The catalogue as it can be asked for."""

from typing import Any

from msgspec.structs import replace

from contexts.product.events import PriceChanged, Product, ProductAdded, ProductDiscontinued
from projectors.products import MODEL, QUERIES, GetProduct, ListProducts, ProductPage, ProductView
from tests.projectors.conftest import Shelf

BANANAS = Product(
    product_id="p1",
    sku="100",
    name="Bananas",
    department="PRODUCE",
    price=129,
    currency="USD",
    description="Sold by the pound, 100% ripe",
    discontinued=False,
)


async def listed(shelf: Shelf, **wanted: Any) -> list[str]:
    page: ProductPage = await shelf.ask(ListProducts(**wanted), QUERIES)
    return [product.sku for product in page.products]


async def test_a_product_is_found_by_its_sku_as_it_stands_now(shelf: Shelf) -> None:
    cheaper = replace(BANANAS, price=99)
    await shelf.happen(MODEL, ("p1", ProductAdded(BANANAS)), ("p1", PriceChanged(cheaper)))
    product: ProductView = await shelf.ask(GetProduct("100"), QUERIES)
    assert (product.price, product.version, product.position) == (99, 2, 2)
    await shelf.happen(MODEL, ("p1", ProductDiscontinued(replace(cheaper, discontinued=True))))
    assert (await shelf.ask(GetProduct("100"), QUERIES)).discontinued
    assert await shelf.ask(GetProduct("101"), QUERIES) is None


async def test_products_are_searched_by_any_part_of_their_words(shelf: Shelf) -> None:
    milk = replace(BANANAS, product_id="p2", sku="200_a", name="Milk", department="DAIRY", description="")
    await shelf.happen(MODEL, ("p1", ProductAdded(BANANAS)), ("p2", ProductAdded(milk)))
    assert await listed(shelf) == ["100", "200_a"]
    assert await listed(shelf, q="NANA") == ["100"]
    assert await listed(shelf, q="pound") == ["100"]
    assert await listed(shelf, q="200") == ["200_a"]
    assert await listed(shelf, q="milk", department="PRODUCE") == []
    assert await listed(shelf, department="DAIRY") == ["200_a"]
    for literal, found in (("%", ["100"]), ("_", ["200_a"]), ("0_", ["200_a"]), ("\\", [])):
        assert await listed(shelf, q=literal) == found


async def test_pages_of_products_meet_without_gap_or_repeat(shelf: Shelf) -> None:
    products = [replace(BANANAS, product_id=f"p{i}", sku=f"{i:03}") for i in range(7)]
    await shelf.happen(MODEL, *((each.product_id, ProductAdded(each)) for each in products))
    first: ProductPage = await shelf.ask(ListProducts(limit=4), QUERIES)
    second: ProductPage = await shelf.ask(ListProducts(limit=4, after=first.next), QUERIES)
    assert [each.sku for each in (*first.products, *second.products)] == [f"{i:03}" for i in range(7)]
    assert (first.next, second.next) == ("003", None)
