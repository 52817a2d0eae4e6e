"""Sales, as they can be asked for."""

import asyncio
from collections import Counter
from datetime import UTC, date, datetime, timedelta
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest
from hypothesis import given

from common.config import Settings
from common.messages import Event, Rejected
from common.personal import Personal
from common.shell.follower import Follower
from common.store.fold import Happened, fold, touched
from contexts.order.events import OrderCancelled, OrderLine, OrderPlaced, OrderRefunded, RefundedLine
from projectors._bookings import BOOKED, OrderEvent
from projectors.sales import MODEL, QUERIES, TABLE, By, GetSales, SalesFigures, SalesPage
from tests.projectors.conftest import NOON, SCHEMA, Shelf
from tests.projectors.emptied import emptied

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)
DAY = timedelta(days=1)
BREAD, MILK = ("bread", "BAKERY", 2, 500), ("milk", "DAIRY", 1, 129)


def at(text: str) -> datetime:
    return datetime.fromisoformat(f"{text}+00:00")


def placed(
    *lines: tuple[str, str, int, int],
    at: datetime = MONDAY,
    site: str = "s1",
    currency: str = "USD",
    channel: str = "web",
) -> OrderPlaced:
    return OrderPlaced(
        customer_id="c1",
        site=site,
        deliver_to=Personal("c1", sealed="c2VhbGVk"),
        payment_method="pm_ok",
        currency=currency,
        channel=channel,
        at=at,
        lines=tuple(OrderLine(sku=s, department=d, quantity=q, amount=a) for s, d, q, a in lines),
    )


def cancelled(order: OrderPlaced, at: datetime) -> OrderCancelled:
    return OrderCancelled(
        reason="changed my mind",
        at=at,
        site=order.site,
        channel=order.channel,
        currency=order.currency,
        lines=order.lines,
    )


def refunded(order: OrderPlaced, at: datetime, *lines: tuple[str, str, int, int]) -> OrderRefunded:
    return OrderRefunded(
        refund=1,
        site=order.site,
        currency=order.currency,
        amount=sum(amount for *_, amount in lines),
        lines=tuple(RefundedLine(*line) for line in lines),
        at=at,
        channel=order.channel,
    )


async def book(shelf: Shelf, *events: Event) -> None:
    await shelf.happen(MODEL, *((f"o{number}", event) for number, event in enumerate(events)))


async def asked(shelf: Shelf, by: By, **wanted: Any) -> list[SalesFigures]:
    """All pages."""
    found: list[SalesFigures] = []
    after: str | None = None
    while True:
        page: SalesPage = await shelf.ask(GetSales(by=by, after=after, **wanted), QUERIES)
        found += page.sales
        assert page.next is None or len(page.sales) == wanted.get("limit", 20)
        assert page.next != after or after is None
        if (after := page.next) is None:
            return found


async def revenue(shelf: Shelf, by: By, **wanted: Any) -> dict[str, int]:
    return {each.name: each.revenue for each in await asked(shelf, by, **wanted)}


async def test_what_is_sold_shows_by_day_week_department_site_and_product(shelf: Shelf) -> None:
    await book(shelf, placed(BREAD, MILK), placed(MILK, site="s2", at=MONDAY + DAY))
    assert await revenue(shelf, "day") == {"2026-03-02": 629, "2026-03-03": 129}
    assert await revenue(shelf, "week") == {"2026-03-02": 758}
    assert await revenue(shelf, "department") == {"BAKERY": 500, "DAIRY": 258}
    assert await revenue(shelf, "site") == {"s1": 629, "s2": 129}
    assert await revenue(shelf, "product") == {"bread": 500, "milk": 258}


async def test_an_order_counts_once_wherever_it_has_a_line(shelf: Shelf) -> None:
    await book(shelf, placed(BREAD, ("rolls", "BAKERY", 6, 240), MILK, MILK))
    assert [(each.orders, each.units) for each in await asked(shelf, "day")] == [(1, 10)]
    shown = {each.name: (each.orders, each.units) for each in await asked(shelf, "department")}
    assert shown == {"BAKERY": (1, 8), "DAIRY": (1, 2)}
    assert {each.name: each.orders for each in await asked(shelf, "product")} == {"bread": 1, "milk": 1, "rolls": 1}


async def test_a_day_ends_at_midnight_in_utc(shelf: Shelf) -> None:
    west = datetime.fromisoformat("2026-03-02T23:30:00-05:00")
    await book(shelf, placed(MILK, at=at("2026-03-02T23:59:59")), placed(BREAD, at=at("2026-03-03T00:00:00")))
    await book(shelf, placed(("tea", "GROCERY", 1, 7), at=west))
    assert await revenue(shelf, "day") == {"2026-03-02": 129, "2026-03-03": 507}


async def test_a_week_begins_on_monday_and_goes_on_over_new_year(shelf: Shelf) -> None:
    days = ("2026-12-27", "2026-12-28", "2026-12-31", "2027-01-01", "2027-01-03", "2027-01-04")
    await book(shelf, *(placed(("tea", "GROCERY", 1, 10**n), at=at(f"{day}T12:00")) for n, day in enumerate(days)))
    assert await revenue(shelf, "week") == {"2026-12-21": 1, "2026-12-28": 11110, "2027-01-04": 100000}


async def test_what_is_cancelled_is_booked_on_the_day_of_the_cancellation(shelf: Shelf) -> None:
    order = placed(BREAD, MILK)
    await book(shelf, order, cancelled(order, MONDAY + DAY))
    monday, tuesday = await asked(shelf, "day")
    assert (monday.orders, monday.units, monday.revenue, monday.cancelled, monday.net) == (1, 3, 629, 0, 629)
    assert (tuesday.orders, tuesday.units, tuesday.revenue) == (0, 0, 0)
    assert (tuesday.cancelled_orders, tuesday.cancelled_units, tuesday.cancelled, tuesday.net) == (1, 3, 629, -629)
    (week,) = await asked(shelf, "week")
    assert (week.revenue, week.cancelled, week.net) == (629, 629, 0)


async def test_what_is_paid_back_is_booked_on_the_day_of_the_refund(shelf: Shelf) -> None:
    order = placed(BREAD, MILK)
    await book(shelf, order, refunded(order, MONDAY + 40 * DAY, ("bread", "BAKERY", 1, 250)))
    april = {"since": date(2026, 4, 1)}
    (bakery,) = await asked(shelf, "department", **april)
    assert (bakery.name, bakery.revenue) == ("BAKERY", 0)
    assert (bakery.refunded_units, bakery.refunded, bakery.net) == (1, 250, -250)
    assert [each.net for each in await asked(shelf, "product")] == [250, 129]


async def test_as_of_a_day_is_what_there_was_when_it_ended(shelf: Shelf) -> None:
    order = placed(BREAD)
    await book(shelf, order, cancelled(order, MONDAY + DAY), placed(MILK, at=MONDAY + DAY))
    by: By
    for by in ("site", "department", "product", "week"):
        (first,) = await asked(shelf, by, as_of=date(2026, 3, 2))
        assert (first.revenue, first.cancelled) == (500, 0)
    (site,) = await asked(shelf, "site", as_of=date(2026, 3, 3))
    assert (site.revenue, site.cancelled, site.net) == (629, 500, 129)
    assert await asked(shelf, "site", as_of=date(2026, 3, 1)) == []
    assert await revenue(shelf, "day", as_of=date(2026, 3, 9), until=date(2026, 3, 3)) == {"2026-03-02": 500}


async def test_currencies_are_never_added_up(shelf: Shelf) -> None:
    await book(shelf, placed(MILK), placed(MILK, currency="EUR"), placed(BREAD, currency="EUR", at=MONDAY + DAY))
    by: By
    for by in ("day", "week", "department", "site", "product"):
        shown = await asked(shelf, by, limit=1)
        assert sum(each.revenue for each in shown if each.currency == "USD") == 129
        assert sum(each.revenue for each in shown if each.currency == "EUR") == 629
        assert {each.currency for each in await asked(shelf, by, currency="EUR")} == {"EUR"}


async def test_channels_are_added_up_unless_one_is_asked_for(shelf: Shelf) -> None:
    await book(shelf, placed(MILK), placed(MILK, BREAD, channel="replay"))
    by: By
    for by in ("day", "week", "department", "site", "product"):
        assert sum((await revenue(shelf, by)).values()) == 758
        assert sum((await revenue(shelf, by, channel="replay")).values()) == 629
        assert await revenue(shelf, by, channel="phone") == {}


async def test_a_line_of_quantity_0_counts_for_its_money(shelf: Shelf) -> None:
    await book(shelf, placed(("gift", "MISC", 0, 250)), placed(("gift", "MISC", 0, 0)))
    (gift,) = await asked(shelf, "product")
    assert (gift.orders, gift.units, gift.revenue) == (2, 0, 250)


async def test_a_cancellation_that_names_no_lines_takes_nothing_away(shelf: Shelf) -> None:
    await book(shelf, placed(MILK), OrderCancelled(reason="recorded long ago", at=MONDAY))
    assert [(each.revenue, each.cancelled_orders) for each in await asked(shelf, "day")] == [(129, 0)]


async def test_sales_are_told_for_a_site_a_department_both_or_a_product(shelf: Shelf) -> None:
    await book(shelf, placed(BREAD, MILK), placed(BREAD, site="s2"), placed(MILK, site="s2", at=MONDAY + DAY))
    assert await revenue(shelf, "day", site="s2") == {"2026-03-02": 500, "2026-03-03": 129}
    assert await revenue(shelf, "week", department="DAIRY") == {"2026-03-02": 258}
    assert await revenue(shelf, "day", site="s2", department="DAIRY") == {"2026-03-03": 129}
    assert await revenue(shelf, "department", site="s2") == {"BAKERY": 500, "DAIRY": 129}
    assert await revenue(shelf, "site", department="BAKERY") == {"s1": 500, "s2": 500}
    assert await revenue(shelf, "site", site="s2") == {"s2": 629}
    assert await revenue(shelf, "day", sku="milk") == {"2026-03-02": 129, "2026-03-03": 129}
    assert await revenue(shelf, "product", sku="milk") == {"milk": 258}
    assert await revenue(shelf, "product", sku="jam") == {}


REFUSED = [
    ({"by": "product", "site": "s1"}, "$.site"),
    ({"by": "product", "department": "DAIRY"}, "$.department"),
    ({"by": "day", "sku": "milk", "site": "s1"}, "$.site"),
    ({"by": "week", "sku": "milk", "department": "DAIRY"}, "$.department"),
    ({"by": "site", "sku": "milk"}, "$.sku"),
    ({"by": "department", "sku": "milk"}, "$.sku"),
    *(({"by": by, "after": after}, "$.after") for by in ("day", "site") for after in ("x", "", "bnVsbA", "W10", "ä")),
    ({"by": "site", "after": "WyJzaXRlIiwiXHUwMDAwIiwiVVNEIl0"}, "$.after"),  # U+0000
    ({"by": "day", "after": "WyJzaXRlIiwiczEiLCJVU0QiXQ"}, "$.after"),  # That of a page by site.
]


@pytest.mark.parametrize(("wanted", "field"), REFUSED)
async def test_what_is_not_kept_and_what_is_no_page_is_refused_by_name(
    shelf: Shelf, wanted: dict[str, Any], field: str
) -> None:
    with pytest.raises(Rejected) as refused:
        await shelf.ask(GetSales(**wanted), QUERIES)
    assert (refused.value.code, str(refused.value).endswith(f" - at `{field}`")) == ("malformed", True)


@pytest.mark.parametrize(
    ("by", "other"), [("day", "week"), ("week", "day"), ("site", "department"), ("site", "product")]
)
async def test_where_a_page_ended_another_question_does_not_go_on(shelf: Shelf, by: By, other: By) -> None:
    await book(shelf, placed(MILK), placed(MILK, site="s2", at=MONDAY + 7 * DAY))
    page: SalesPage = await shelf.ask(GetSales(by=by, limit=1), QUERIES)
    assert page.next
    with pytest.raises(Rejected, match=r"where a page of another question has ended - at `\$\.after`"):
        await shelf.ask(GetSales(by=other, after=page.next), QUERIES)


SITES, CHANNELS, CURRENCIES = ("s1", "s2", "s3"), ("web", "replay"), ("EUR", "USD")
DEPARTMENTS, SKUS = ("BAKERY", "DAIRY", "Ä"), ("bread", "milk", "rolls", "tea")
OCTOBER = date(2026, 10, 31)
DAYS = tuple(OCTOBER + n * DAY for n in (0, 1, 2, 31, 60, 61, 62, 64, 65))
"""On both sides of ends of months, weeks and the year."""
LINES = st.lists(
    st.tuples(st.sampled_from(SKUS), st.sampled_from(DEPARTMENTS), st.integers(0, 3), st.integers(0, 999)), max_size=4
)
ORDERS = st.builds(
    lambda day, site, channel, currency, lines: placed(
        *lines, at=datetime(day.year, day.month, day.day, 9, tzinfo=UTC), site=site, currency=currency, channel=channel
    ),
    *(st.sampled_from(each) for each in (DAYS, SITES, CHANNELS, CURRENCIES)),
    LINES,
)
LATER = st.integers(0, 3).map(lambda days: days * DAY)
EVENTS: st.SearchStrategy[OrderEvent] = st.one_of(
    ORDERS,
    st.builds(lambda order, later: cancelled(order, order.at + later), ORDERS, LATER),
    st.builds(lambda order, later, lines: refunded(order, order.at + later, *lines), ORDERS, LATER, LINES),
)
EARLY, LATE = (st.none() | st.sampled_from(days) for days in (DAYS[:5], DAYS[3:]))
TIMES = st.fixed_dictionaries({"since": EARLY, "until": LATE, "as_of": LATE})
GROUPS = st.one_of(
    st.fixed_dictionaries(
        {"site": st.none() | st.sampled_from(SITES), "department": st.none() | st.sampled_from(DEPARTMENTS)}
    ),
    st.fixed_dictionaries({"sku": st.sampled_from(SKUS)}),
)
HOW = st.fixed_dictionaries(
    {"channel": st.none() | st.sampled_from(CHANNELS), "currency": st.none() | st.sampled_from(CURRENCIES)}
)
WANTED = st.builds(lambda times, group, how: times | group | how, TIMES, GROUPS, HOW)


@hypothesis.settings(max_examples=40)
@given(
    st.lists(EVENTS, min_size=8, max_size=30),
    st.sets(st.integers(1, 29)),
    st.lists(WANTED, min_size=4, max_size=8),
    st.integers(1, 5),
)
def test_what_is_told_is_what_the_events_come_to_whatever_the_batches_and_the_pages(
    settings: Settings, events: list[OrderEvent], borders: set[int], wanted: list[dict[str, Any]], limit: int
) -> None:
    async def check() -> None:
        async with emptied(settings, MODEL) as shelf:
            await book_in_batches(shelf, events, borders)
            by: By
            for by in ("day", "week", "department", "site", "product"):
                for each in [{}, *wanted]:
                    if is_kept(by, each):
                        told = await asked(shelf, by, limit=limit, **each)
                        assert told == added_up(events, by, each)
                        assert len({(figures.name, figures.currency) for figures in told}) == len(told)

    asyncio.run(check())


async def book_in_batches(shelf: Shelf, events: list[OrderEvent], borders: set[int]) -> None:
    """Each batch comes again with all that came before it, as after a crash."""
    happened = [Happened(n, "one", f"o{n}", 1, NOON, event) for n, event in enumerate(events, 1)]
    follower = Follower(shelf.pool, MODEL, SCHEMA)
    for border in (*sorted(borders), len(events)):
        await follower.take("order", happened[:border])
    assert follower.detached == ""


def is_kept(by: By, wanted: dict[str, Any]) -> bool:
    if wanted.get("sku"):
        return by in ("day", "week", "product")
    return by != "product" or not (wanted.get("site") or wanted.get("department"))


def added_up(events: list[OrderEvent], by: By, wanted: dict[str, Any]) -> list[SalesFigures]:
    """The same from the events alone, in the plainest way."""
    found: dict[tuple[str, str], Counter[str]] = {}
    for event in events:
        lines = [line for line in event.lines if is_wanted(event, line, wanted)]
        for name in {name_of(event, line, by) for line in lines}:
            of_name = [line for line in lines if name_of(event, line, by) == name]
            counted = found.setdefault((name, event.currency), Counter())
            counted[f"{BOOKED[type(event)]} orders"] += 1
            counted[f"{BOOKED[type(event)]} units"] += sum(line.quantity for line in of_name)
            counted[f"{BOOKED[type(event)]} amount"] += sum(line.amount for line in of_name)
    order = (lambda key: (key[1], key[0])) if by in ("day", "week") else (lambda key: key)
    return [shown(*key, found[key]) for key in sorted(found, key=order)]


def is_wanted(event: OrderEvent, line: Any, wanted: dict[str, Any]) -> bool:
    day = event.at.date()
    has = {"site": event.site, "channel": event.channel, "currency": event.currency}
    has |= {"department": line.department, "sku": line.sku}
    return all(wanted.get(name) in (None, value) for name, value in has.items()) and (
        (wanted.get("since") or day) <= day < (wanted.get("until") or day + DAY) and day <= (wanted.get("as_of") or day)
    )


def name_of(event: OrderEvent, line: Any, by: By) -> str:
    day = event.at.date()
    names: dict[By, str] = {
        "day": str(day),
        "week": str(date.fromisocalendar(*day.isocalendar()[:2], 1)),
        "department": line.department,
        "site": event.site,
        "product": line.sku,
    }
    return names[by]


def shown(name: str, currency: str, counted: Counter[str]) -> SalesFigures:
    return SalesFigures(
        name=name,
        currency=currency,
        orders=counted["sold orders"],
        units=counted["sold units"],
        revenue=counted["sold amount"],
        cancelled_orders=counted["cancelled orders"],
        cancelled_units=counted["cancelled units"],
        cancelled=counted["cancelled amount"],
        refunded_units=counted["refunded units"],
        refunded=counted["refunded amount"],
        net=counted["sold amount"] - counted["cancelled amount"] - counted["refunded amount"],
    )


@given(st.lists(EVENTS, max_size=20))
def test_departments_sites_products_and_days_come_to_the_same(events: list[OrderEvent]) -> None:
    happened = [Happened(n, "one", f"o{n}", 1, NOON, event) for n, event in enumerate(events, 1)]
    rows = [kept.row for kept in fold(TABLE, "order", touched(MODEL, "order", happened), {}).values() if kept]
    sold = sum(line.amount for event in events if isinstance(event, OrderPlaced) for line in event.lines)
    for column in ("department", "site", "sku"):
        others = {"department", "site", "sku"} - {column}
        of_days = [row for row in rows if row.span == "day" and row.booked == "sold"]
        named = [row for row in of_days if getattr(row, column) and not any(getattr(row, other) for other in others)]
        assert sum(row.amount for row in named) == sold
