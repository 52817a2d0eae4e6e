"""The stock at the end of business days, as it can be asked for."""

import asyncio
from datetime import UTC, date, datetime, timedelta
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec.structs import replace

from common.config import Settings
from common.messages import Command, Event, Rejected
from contexts.stock.events import ReservationShipped, ReturnTakenBack, StockCounted, StockReceived
from contexts.stock.wiring import CONTEXT as STOCK
from projectors import stock_levels
from projectors.closing_stock import MODEL, QUERIES, ClosingLevel, ClosingStockPage, GetClosingStock
from tests.projectors.conftest import Shelf
from tests.projectors.emptied import emptied
from tests.scenario import folded
from tests.stock import broken, lines, reserved
from tests.stock.test_properties import COMMANDS, history

MONDAY = date(2026, 3, 2)
DAY = timedelta(days=1)


def noon(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, 12, tzinfo=UTC)


def came(day: date, **quantities: int) -> StockReceived:
    return StockReceived(lines=lines(**quantities), at=noon(day))


def left(day: date, **quantities: int) -> ReservationShipped:
    return ReservationShipped(order_id="o1", lines=lines(**quantities), at=noon(day))


async def asked(shelf: Shelf, day: date, **wanted: Any) -> list[ClosingLevel]:
    """All pages."""
    found: list[ClosingLevel] = []
    after: str | None = None
    while True:
        page: ClosingStockPage = await shelf.ask(GetClosingStock(day=day, after=after, **wanted), QUERIES)
        found += page.levels
        if (after := page.next) is None:
            return found


async def on_hand(shelf: Shelf, day: date, sku: str = "bread") -> int | None:
    levels = await asked(shelf, day, site="s1", sku=sku)
    return levels[0].on_hand if levels else None


async def test_what_was_on_hand_when_a_day_ended_is_what_had_come_in_less_what_had_left(shelf: Shelf) -> None:
    await shelf.happen(
        MODEL,
        ("s1", came(MONDAY, bread=9, milk=4)),
        ("s1", left(MONDAY + DAY, bread=3)),
        ("s1", ReturnTakenBack(order_id="o1", lines=lines(bread=1), at=noon(MONDAY + 3 * DAY))),
    )
    days = [await on_hand(shelf, MONDAY + n * DAY) for n in (-1, 0, 1, 2, 3, 300)]
    assert days == [None, 9, 6, 6, 7, 7]
    assert await on_hand(shelf, MONDAY + DAY, "milk") == 4


async def test_a_count_moves_what_it_finds_too_much_or_too_little(shelf: Shelf) -> None:
    await shelf.happen(
        MODEL,
        ("s1", came(MONDAY, bread=9)),
        ("s1", StockCounted(sku="bread", counted=7, expected=9, at=noon(MONDAY + DAY))),
        ("s1", StockCounted(sku="jam", counted=2, expected=0, at=noon(MONDAY + DAY))),
    )
    assert [await on_hand(shelf, MONDAY + n * DAY) for n in (0, 1)] == [9, 7]
    assert await on_hand(shelf, MONDAY + DAY, "jam") == 2


async def test_what_is_set_aside_is_on_hand_until_it_leaves(shelf: Shelf) -> None:
    await shelf.happen(
        MODEL,
        ("s1", came(MONDAY, bread=9)),
        ("s1", reserved("o1", bread=3)),
        ("s1", broken("o1", "bread", bread=3)),
    )
    assert await on_hand(shelf, date(2027, 1, 1)) == 9


async def test_what_left_by_its_time_of_business_before_it_came_in_is_below_0_until_then(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("s1", came(MONDAY + DAY, bread=9)), ("s1", left(MONDAY, bread=2)))
    assert [await on_hand(shelf, MONDAY + n * DAY) for n in (0, 1)] == [-2, 7]


async def test_a_day_ends_at_midnight_in_utc(shelf: Shelf) -> None:
    west = datetime.fromisoformat("2026-03-02T23:30:00-05:00")
    await shelf.happen(MODEL, ("s1", StockReceived(lines=lines(bread=5), at=west)))
    assert [await on_hand(shelf, MONDAY + n * DAY) for n in (0, 1)] == [None, 5]


async def test_stock_is_told_of_a_site_of_a_product_and_of_both(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("s1", came(MONDAY, bread=9, milk=4)), ("s2", came(MONDAY, bread=2)))
    bread = [ClosingLevel("s1", "bread", 9), ClosingLevel("s2", "bread", 2)]
    assert await asked(shelf, MONDAY, site="s1") == [bread[0], ClosingLevel("s1", "milk", 4)]
    assert await asked(shelf, MONDAY, sku="bread") == bread
    assert await asked(shelf, MONDAY, site="s2", sku="bread") == bread[1:]
    assert await asked(shelf, MONDAY, site="s3") == []


async def test_pages_of_a_site_and_of_a_product_meet_without_gap_or_repeat(shelf: Shelf) -> None:
    names = [f"n{n:02}" for n in range(13)]
    goods = dict.fromkeys(names, 1)
    await shelf.happen(MODEL, ("s0", came(MONDAY, **goods)), ("s0", left(MONDAY + DAY, **goods)))
    await shelf.happen(MODEL, *((f"s-{name}", came(MONDAY, bread=1)) for name in names))
    for limit in (1, 5, 13, 500):
        assert [each.sku for each in await asked(shelf, MONDAY + DAY, site="s0", limit=limit)] == names
        assert [each.site for each in await asked(shelf, MONDAY, sku="bread", limit=limit)] == [f"s-{n}" for n in names]


@pytest.mark.parametrize(
    ("wanted", "field"),
    [({}, "$.site"), *(({"site": "s1", "after": after}, "$.after") for after in ("x", "", "W10", "bnVsbA", "ä"))],
)
async def test_neither_site_nor_sku_and_what_is_no_page_is_refused_by_name(
    shelf: Shelf, wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(Rejected) as refused:
        await shelf.ask(GetClosingStock(day=MONDAY, **wanted), QUERIES)
    assert (refused.value.code, str(refused.value).endswith(f" - at `{field}`")) == ("malformed", True)


@pytest.mark.parametrize(
    ("wanted", "other"),
    [({"site": "s1"}, {"site": "s2"}), ({"site": "s1"}, {"sku": "bread"}), ({"sku": "bread"}, {"sku": "milk"})],
)
async def test_where_a_page_ended_another_question_does_not_go_on(
    shelf: Shelf, wanted: dict[str, Any], other: dict[str, Any]
) -> None:
    await shelf.happen(MODEL, *((site, came(MONDAY, bread=9, milk=4)) for site in ("s1", "s2")))
    page: ClosingStockPage = await shelf.ask(GetClosingStock(day=MONDAY, limit=1, **wanted), QUERIES)
    assert page.next
    with pytest.raises(Rejected, match=r"where a page of another question has ended - at `\$\.after`"):
        await shelf.ask(GetClosingStock(day=MONDAY, after=page.next, **other), QUERIES)


DAYS = st.lists(st.integers(0, 4).map(lambda n: MONDAY + n * DAY), min_size=100, max_size=100)


@hypothesis.settings(max_examples=40)
@given(st.lists(COMMANDS, max_size=30), DAYS)
def test_each_day_closes_with_what_its_movements_come_to_and_the_last_with_what_is_on_hand(
    settings: Settings, commands: list[Command], days: list[date]
) -> None:
    """In whatever order the days of business come in: the record goes by another time."""
    events = [replace(event, at=noon(day)) for event, day in zip(history(commands), days, strict=False)]
    moved: list[Any] = [event for event in events if isinstance(event, MODEL.follows["stock"])]

    async def check() -> None:
        async with emptied(settings, MODEL) as shelf:
            await shelf.happen(MODEL, *(("s1", event) for event in events))
            for day in sorted({event.at.date() for event in moved}):
                told = {each.sku: each.on_hand for each in await asked(shelf, day, site="s1")}
                assert told == booked([event for event in moved if event.at.date() <= day])
            last = {each.sku: each.on_hand for each in await asked(shelf, date.max, site="s1")}
        assert {sku: left for sku, left in last.items() if left} == dict(folded(STOCK, events).on_hand)
        assert last == levels(events)

    asyncio.run(check())


def booked(events: list[Any]) -> dict[str, int]:
    """The same from the events alone, in the plainest way."""
    found: dict[str, int] = {}
    for event in events:
        if isinstance(event, StockCounted):
            found[event.sku] = found.get(event.sku, 0) + event.counted - event.expected
            continue
        for line in event.lines:
            sign = -1 if isinstance(event, ReservationShipped) else 1
            found[line.sku] = found.get(line.sku, 0) + sign * line.quantity
    return found


def levels(events: list[Event]) -> dict[str, int]:
    """What the stock levels show of the same events."""
    model, rows = stock_levels.MODEL, dict[Any, Any]()
    assert model.blank
    for event in events:
        if isinstance(event, model.follows["stock"]):
            for key in model.keys("s1", event):
                rows[key] = model.apply(rows.get(key) or model.blank(key), "s1", event)
    return {row.sku: row.on_hand for row in rows.values()}
