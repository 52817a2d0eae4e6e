"""What is in stock, as it can be asked for."""

from collections.abc import Callable
from functools import partial, reduce

import hypothesis.strategies as st
import pytest
from hypothesis import given

from common.messages import Command, Event, Rejected
from common.readmodel import Key
from contexts.stock.events import (
    ReservationReleased,
    ReservationShipped,
    ReturnTakenBack,
    StockCounted,
)
from contexts.stock.wiring import CONTEXT as STOCK
from projectors.stock_levels import (
    MODEL,
    QUERIES,
    GetStockLevel,
    ListProductStock,
    ListStock,
    StockLevel,
    StockLevelView,
    StockPage,
)
from tests.projectors.conftest import Shelf
from tests.scenario import NOW, folded
from tests.stock import broken, lines, received, reserved
from tests.stock.test_properties import COMMANDS, history

Ask = Callable[..., ListStock | ListProductStock]


async def level(shelf: Shelf, sku: str, site: str = "s1") -> tuple[int, int, int]:
    found: StockLevelView = await shelf.ask(GetStockLevel(site, sku), QUERIES)
    return found.on_hand, found.reserved, found.available


async def test_what_came_in_less_what_is_set_aside_is_available(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("s1", received(bread=9, milk=4)), ("s1", reserved("o1", bread=3)))
    assert await level(shelf, "bread") == (9, 3, 6)
    assert await level(shelf, "milk") == (4, 0, 4)


async def test_what_a_reservation_ends_in_shows(shelf: Shelf) -> None:
    await shelf.happen(
        MODEL,
        ("s1", received(bread=9)),
        *(("s1", reserved(order_id, bread=2)) for order_id in ("o1", "o2", "o3")),
        ("s1", ReservationShipped(order_id="o1", lines=lines(bread=2), at=NOW)),
        ("s1", ReservationReleased(order_id="o2", lines=lines(bread=2), at=NOW)),
    )
    assert await level(shelf, "bread") == (7, 2, 5)
    await shelf.happen(
        MODEL,
        ("s1", ReturnTakenBack(order_id="o1", lines=lines(bread=2), at=NOW)),
        ("s1", StockCounted(sku="bread", counted=1, expected=9, at=NOW)),
        ("s1", broken("o3", "bread", bread=2)),
    )
    assert await level(shelf, "bread") == (1, 0, 1)


async def test_each_site_has_its_own(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("s1", received(bread=9)), ("s2", received(bread=2)))
    assert (await level(shelf, "bread"), await level(shelf, "bread", "s2")) == ((9, 0, 9), (2, 0, 2))
    assert await shelf.ask(GetStockLevel("s3", "bread"), QUERIES) is None


async def test_pages_of_a_site_meet_without_gap_or_repeat(shelf: Shelf) -> None:
    skus = [f"p{n:02}" for n in range(20)]
    await shelf.happen(MODEL, ("s1", received(**dict.fromkeys(skus, 1))), ("s0", received(p00=5)))
    assert [each.sku for each in await everything(shelf, partial(ListStock, site="s1", limit=6))] == skus


async def test_a_product_is_shown_site_by_site(shelf: Shelf) -> None:
    sites = [f"s{n:02}" for n in range(20)]
    await shelf.happen(MODEL, *((site, received(bread=n, milk=9)) for n, site in enumerate(sites)))
    found = await everything(shelf, partial(ListProductStock, sku="bread", limit=6))
    assert [(each.site, each.on_hand) for each in found] == [(site, n) for n, site in enumerate(sites)]
    assert await everything(shelf, partial(ListProductStock, sku="unheard-of")) == []


@pytest.mark.parametrize("ask", [partial(ListStock, site="s1"), partial(ListProductStock, sku="bread")])
async def test_a_wrong_cursor_is_refused(shelf: Shelf, ask: Ask) -> None:
    for after in ("x", "", "0", "ä", "WyJhIiwiYiJd", "W10", "=", "bnVsbA", "bread"):
        with pytest.raises(Rejected) as refused:
            await shelf.ask(ask(after=after), QUERIES)
        assert (refused.value.code, refused.value.message) == (
            "malformed",
            "not where a page has ended - at `$.after`",
        )


async def everything(shelf: Shelf, ask: Ask) -> list[StockLevelView]:
    """All pages."""
    found: list[StockLevelView] = []
    after: str | None = None
    while True:
        page: StockPage = await shelf.ask(ask(after=after), QUERIES)
        found += page.levels
        if (after := page.next) is None:
            return found


@given(st.lists(COMMANDS, max_size=30))
def test_the_levels_of_a_site_are_what_its_rules_go_by(commands: list[Command]) -> None:
    events = history(commands)
    rows = reduce(projected, events, dict[Key, StockLevel]())
    site = folded(STOCK, events)
    assert {row.sku: row.on_hand for row in rows.values() if row.on_hand} == dict(site.on_hand)
    assert {row.sku: row.reserved for row in rows.values() if row.reserved} == dict(site.reserved)


def projected(rows: dict[Key, StockLevel], event: Event) -> dict[Key, StockLevel]:
    if not isinstance(event, MODEL.follows["stock"]):
        return rows
    assert MODEL.blank
    return rows | {key: MODEL.apply(rows.get(key) or MODEL.blank(key), "s1", event) for key in MODEL.keys("s1", event)}
