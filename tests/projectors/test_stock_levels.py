"""What is in stock, as it can be asked for."""

from functools import reduce

import hypothesis.strategies as st
from hypothesis import given

from common.messages import Command, Event
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
    ListStock,
    StockLevel,
    StockLevelView,
    StockPage,
    apply,
    blank,
)
from tests.projectors.conftest import Shelf
from tests.scenario import NOW, folded
from tests.stock import broken, lines, received, reserved
from tests.stock.test_properties import COMMANDS, history


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
    seen: list[str] = []
    after: str | None = None
    while True:
        page: StockPage = await shelf.ask(ListStock(site="s1", limit=6, after=after), QUERIES)
        seen += [each.sku for each in page.levels]
        if (after := page.next) is None:
            break
    assert seen == skus


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
    return rows | {key: apply(rows.get(key) or blank(key), "s1", event) for key in MODEL.keys("s1", event)}
