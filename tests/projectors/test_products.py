"""The catalogue as it can be asked for."""

from typing import Any

import pytest
from msgspec.structs import replace

from common.messages import Rejected
from contexts.product.events import PriceChanged, Product, ProductAdded, ProductDescribed, ProductDiscontinued
from contexts.stock.events import ReservationReleased, ReservationShipped, StockCounted
from projectors import catalogue_words, products
from projectors.products import MODEL, QUERIES, GetProduct, ListProducts, ProductPage, ProductView
from tests.projectors.conftest import Shelf
from tests.scenario import NOW
from tests.stock import lines, received, reserved

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
MILK = replace(
    BANANAS, product_id="p2", sku="200_a", name="Milk", department="DAIRY", description="from hay-fed cows", price=89
)
CREME = replace(MILK, product_id="p3", sku="300", name="Crème Fraîche", description="30% fat, from milk", price=189)
MODELS = (MODEL, catalogue_words.MODEL)


async def added(shelf: Shelf, *products: Product) -> None:
    await shelf.happen_for(MODELS, *((each.product_id, ProductAdded(each)) for each in products))


async def asked(shelf: Shelf, **wanted: Any) -> ProductPage:
    page: ProductPage = await shelf.ask(ListProducts(**wanted), QUERIES)
    return page


async def listed(shelf: Shelf, **wanted: Any) -> list[str]:
    return [product.sku for product in (await asked(shelf, **wanted)).products]


async def everything(shelf: Shelf, **wanted: Any) -> list[ProductView]:
    """All pages."""
    page = await asked(shelf, **wanted)
    return page.products + (await everything(shelf, **wanted | {"after": page.next}) if page.next else [])


async def test_a_product_is_found_by_its_sku_as_it_stands_now(shelf: Shelf) -> None:
    cheaper = replace(BANANAS, price=99)
    await shelf.happen(MODEL, ("p1", ProductAdded(BANANAS)), ("p1", PriceChanged(cheaper)))
    product: ProductView = await shelf.ask(GetProduct("100"), QUERIES)
    assert (product.price, product.version, product.position) == (99, 2, 2)
    await shelf.happen(MODEL, ("p1", ProductDiscontinued(replace(cheaper, discontinued=True))))
    assert (await shelf.ask(GetProduct("100"), QUERIES)).discontinued
    assert await shelf.ask(GetProduct("101"), QUERIES) is None


async def test_a_product_shows_what_all_sites_have_of_it_that_nobody_has_reserved(shelf: Shelf) -> None:
    await shelf.happen(
        MODEL,
        ("p1", ProductAdded(BANANAS)),
        ("s1", received(**{"100": 9})),
        ("s2", received(**{"100": 5})),
        ("s1", reserved("o1", **{"100": 3})),
        ("s2", reserved("o2", **{"100": 1})),
    )
    assert await available(shelf) == 10
    await shelf.happen(
        MODEL,
        ("s1", ReservationShipped(order_id="o1", lines=lines(**{"100": 3}), at=NOW)),
        ("s2", ReservationReleased(order_id="o2", lines=lines(**{"100": 1}), at=NOW)),
        ("s2", StockCounted(sku="100", counted=2, expected=5, at=NOW)),
    )
    assert await available(shelf) == 8


async def available(shelf: Shelf) -> int:
    product: ProductView = await shelf.ask(GetProduct("100"), QUERIES)
    return product.available


async def test_stock_of_what_is_in_no_catalogue_is_not_shown_until_it_is(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("s1", received(**{"100": 9})))
    assert await shelf.ask(GetProduct("100"), QUERIES) is None
    assert await listed(shelf) == []
    await added(shelf, BANANAS)
    assert await available(shelf) == 9
    assert await listed(shelf) == ["100"]


async def test_the_version_of_a_product_is_that_of_its_stream_whatever_its_stock_does(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("p1", ProductAdded(BANANAS)), *(("s1", received(**{"100": 1})) for _ in range(5)))
    product: ProductView = await shelf.ask(GetProduct("100"), QUERIES)
    assert (product.version, product.position) == (1, 1)


async def test_products_are_searched_by_any_part_of_their_words_in_any_order(shelf: Shelf) -> None:
    await added(shelf, BANANAS, MILK, CREME)
    assert await listed(shelf) == ["100", "200_a", "300"]
    for q, found in {
        "NANA": ["100"],
        "pound": ["100"],
        "ripe sold": ["100"],
        "milk": ["200_a", "300"],
        "creme fraiche": ["300"],
        "CRÈME": ["300"],
        "Hay-Fed": ["200_a"],
        "200_a": ["200_a"],
        "200_A milk": ["200_a"],
        "milk 100": [],
    }.items():
        assert await listed(shelf, q=q) == found, q
        assert (await asked(shelf, q=q)).searched_for is None


async def test_a_short_word_is_the_beginning_of_a_word(shelf: Shelf) -> None:
    await added(shelf, BANANAS, MILK)
    assert await listed(shelf, q="ba") == ["100"]
    assert await listed(shelf, q="an") == []


async def test_a_number_is_a_whole_word(shelf: Shelf) -> None:
    await added(shelf, BANANAS, replace(MILK, description="12 oz"), replace(CREME, description="120 g"))
    assert await listed(shelf, q="12") == ["200_a"]
    assert await listed(shelf, q="10") == []


@pytest.mark.parametrize("common", [0, 1_000])
async def test_common_and_rare_words_are_found_alike(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch, common: int
) -> None:
    """However often they are used: in order by looking at the words, or by their index."""
    monkeypatch.setattr(products, "COMMON", common)
    monkeypatch.setattr(products, "VERY_COMMON", common)
    milks = [replace(MILK, product_id=f"p{i}", sku=f"{i:03}", name=f"Milk {i % 3}", price=i // 7) for i in range(40)]
    await added(shelf, *milks, CREME)
    for wanted in ({}, {"department": "DAIRY"}, {"max_price": 200, "currency": "USD"}):
        found = await everything(shelf, q="milk", limit=7, **wanted)
        assert [each.sku for each in found] == [f"{i:03}" for i in range(40)] + ["300"]
        found = await everything(shelf, q="1 milk", limit=7, **wanted)
        assert [each.sku for each in found] == [f"{i:03}" for i in range(1, 40, 3)]
    assert [each.sku for each in await everything(shelf, q="fraiche milk")] == ["300"]


async def test_a_mistyped_word_is_replaced_by_the_one_that_is_most_like_it(shelf: Shelf) -> None:
    await added(shelf, BANANAS, MILK, CREME)
    for q, meant in {"bannanas": "bananas", "Fraische milk": "fraiche milk", "millk from": "milk from"}.items():
        page = await asked(shelf, q=q)
        assert page.searched_for == meant
        assert page.products == (await asked(shelf, q=meant)).products != []
    for q in ("xylophone", "xylophone milk", "101"):
        assert await asked(shelf, q=q) == ProductPage([], None, None)


async def test_a_word_of_a_sku_is_not_taken_for_a_mistyped_one(shelf: Shelf) -> None:
    await added(shelf, BANANAS, replace(MILK, sku="banan"))
    assert [each.sku for each in (await asked(shelf, q="banan")).products] == ["100", "banan"]
    await added(shelf, replace(CREME, sku="mylk-x"))
    page = await asked(shelf, q="mylk")
    assert ([each.sku for each in page.products], page.searched_for) == (["mylk-x"], None)


async def test_a_product_is_found_by_what_it_is_called_now(shelf: Shelf) -> None:
    await added(shelf, BANANAS)
    other = replace(BANANAS, name="Plantains")
    await shelf.happen_for(MODELS, ("p1", ProductDescribed(other)))
    assert await listed(shelf, q="plantains") == ["100"]
    assert await asked(shelf, q="bananas") == ProductPage([], None, None)


async def test_a_product_that_no_word_was_kept_of_yet_is_found_all_the_same(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("p1", ProductAdded(BANANAS)))
    assert await listed(shelf, q="bananas") == ["100"]


async def test_words_as_long_as_a_description_do_no_harm(shelf: Shelf) -> None:
    await added(shelf, replace(BANANAS, name="x" * 200, description="y" * 4000))
    assert await listed(shelf, q="x" * 200) == ["100"]


async def test_products_are_found_by_department_and_price_the_cheapest_first(shelf: Shelf) -> None:
    await added(shelf, BANANAS, MILK, CREME, replace(MILK, sku="400", price=129, currency="EUR"))
    assert await listed(shelf, department="DAIRY") == ["200_a", "300", "400"]
    assert await listed(shelf, q="milk", department="PRODUCE") == []
    assert await listed(shelf, min_price=0, currency="USD") == ["200_a", "100", "300"]
    assert await listed(shelf, min_price=89, max_price=129, currency="USD") == ["200_a", "100"]
    assert await listed(shelf, max_price=188, currency="USD", department="DAIRY") == ["200_a"]
    assert await listed(shelf, max_price=188, currency="EUR", q="milk") == ["400"]
    assert await listed(shelf, min_price=190, currency="USD") == []


@pytest.mark.parametrize("wanted", [{}, {"department": "DAIRY"}, {"q": "milk"}, {"q": "millk"}])
@pytest.mark.parametrize("priced", [{}, {"min_price": 3, "max_price": 6, "currency": "USD"}])
async def test_pages_of_products_meet_without_gap_or_repeat(
    shelf: Shelf, wanted: dict[str, Any], priced: dict[str, Any]
) -> None:
    milks = [replace(MILK, product_id=f"p{i}", sku=f"{i:03}", price=i // 7) for i in range(50)]
    await added(shelf, *reversed(milks), BANANAS)
    found = [each.sku for each in await everything(shelf, limit=4, **wanted, **priced)]
    within = [each.sku for each in milks if not priced or 3 <= each.price <= 6]
    assert found[: len(within)] == within
    assert found[len(within) :] == (["100"] if not wanted and not priced else [])


@pytest.mark.parametrize(
    ("wanted", "field"),
    [
        ({"q": "%"}, "q"),
        ({"q": " - "}, "q"),
        ({"q": "a b c d e f g h i j k"}, "q"),
        ({"min_price": 1}, "currency"),
        ({"max_price": 1}, "currency"),
        ({"currency": "USD"}, "currency"),
        ({"min_price": 2, "max_price": 1, "currency": "USD"}, "max_price"),
        ({"after": "100"}, "after"),
        ({"after": "WzEsIjEwMCJd"}, "after"),
        ({"after": "WyIxMDAiXQ", "min_price": 1, "currency": "USD"}, "after"),
    ],
)
async def test_a_question_that_makes_no_sense_is_refused_by_the_field_that_is_wrong(
    shelf: Shelf, wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(Rejected) as refused:
        await asked(shelf, **wanted)
    assert refused.value.code == "malformed"
    assert refused.value.message.endswith(f" - at `$.{field}`")
