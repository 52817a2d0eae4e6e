"""A year on its way: evenly, never too much of it at once, and compared to the cent."""

import asyncio
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from io import StringIO
from typing import Any, cast

import click
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from gateway.cli.baskets import Baskets
from gateway.cli.year import underway as following
from gateway.cli.year.comparing import SALES, Compared, Comparison, Difference, as_orders_say, explained, of_orders
from gateway.cli.year.course import chunks, evenly
from gateway.cli.year.shown import Bars, Played, show
from gateway.cli.year.sums import FileSums, Sums
from gateway.cli.year.system import System
from gateway.cli.year.underway import Progress, Underway
from gateway.cli.year.views import Standing, Views
from projectors.sales import By

AT = datetime(2017, 1, 1, tzinfo=UTC)

counts = st.lists(st.integers(0, 40), min_size=1, max_size=5)
sums_of_sales = st.dictionaries(st.text(max_size=5), st.tuples(*[st.integers(0, 10**9)] * 3), min_size=1, max_size=8)


@given(counts)
def test_what_is_mixed_is_spread_evenly_and_nothing_is_left_out(numbers: list[int]) -> None:
    places = list(evenly(numbers))
    assert Counter(places) == Counter({place: number for place, number in enumerate(numbers) if number})
    seen = Counter[int]()
    for done, place in enumerate(places, 1):
        seen[place] += 1
        for each, number in enumerate(numbers):
            assert abs(seen[each] - done * number / len(places)) <= len(numbers)


@given(st.lists(st.integers()), st.integers(1, 7))
def test_chunks_hold_everything_in_order(items: list[int], size: int) -> None:
    found = list(chunks(items, size))
    assert [item for some in found for item in some] == items
    assert all(len(some) == size for some in found[:-1])


@given(sums_of_sales, st.data())
def test_a_cent_a_piece_or_a_missing_key_is_found_and_named_with_both_numbers(file: Sums, data: st.DataObject) -> None:
    assert list(Compared("product", SALES, file, dict(file)).differences()) == []
    key, column = data.draw(st.sampled_from(sorted(file))), data.draw(st.integers(0, 2))
    wrong = list(file[key])
    wrong[column] += 1
    found = list(Compared("product", SALES, file, {**file, key: tuple(wrong)}).differences())
    assert found == [Difference("product", key, SALES[column], file[key][column], wrong[column])]
    missing = {other: sums for other, sums in file.items() if other != key}
    named = {(each.key, each.sum) for each in Compared("product", SALES, file, missing).differences()}
    assert named == {(key, name) for name, value in zip(SALES, file[key], strict=True) if value}


def test_a_difference_is_said_in_words_with_money_as_money() -> None:
    assert str(Difference("department", "DELI", "revenue", 142469, 142468)) == (
        "revenue of department DELI: 1,424.69 USD in the file, 1,424.68 USD in the views"
    )
    assert str(Difference("", "", "orders", 1000, 999)) == "orders in all: 1,000 in the file, 999 in the views"


def seen(year: Baskets) -> list[list[Any]]:
    """The orders of these baskets as the views show them when all is well."""
    return [
        [basket.order.order_id, "delivered", cents, cents, sum(line.quantity for line in lines), len(lines), 0, ""]
        for basket in year
        for lines in [basket.order.lines]
        for cents in [sum(line.amount or 0 for line in lines)]
    ]


@pytest.fixture(scope="module")
def year() -> Iterator[Baskets]:
    """The first 20 baskets."""
    with Baskets(20) as found:
        yield found


def differences(year: Baskets, orders: Sequence[Sequence[Any]], deliver: bool = True) -> list[str]:
    """What is said of these orders when the first 20 baskets were to be played."""
    sums = FileSums(year)
    sums.see(orders)
    return [str(each) for each in of_orders(sums, deliver)]


def test_each_order_is_compared_with_its_basket(year: Baskets) -> None:
    right = seen(year)
    assert differences(year, right) == []
    name, _, total, paid, units, lines, *_ = right[7]

    def said(*row: Any, deliver: bool = True) -> list[str]:
        return differences(year, [*right[:7], *([(*row, 0, "")] if row else []), *right[8:]], deliver)

    money = f"{total / 100:,.2f} USD in the file, {(total + 1) / 100:,.2f} USD in the views"
    assert said(name, "delivered", total + 1, total + 1, units, lines) == [f"revenue of order {name}: {money}"]
    assert said(name, "delivered", total, total + 1, units, lines) == [f"paid of order {name}: {money}"]
    (one,) = said(name, "delivered", total, paid, units + 1, lines)
    assert one == f"units of order {name}: {units} in the file, {units + 1} in the views"
    (one,) = said(name, "delivered", total, paid, units, lines - 1)
    assert one == f"lines of order {name}: {lines} in the file, {lines - 1} in the views"
    assert said(deliver=False) == [f"orders of order {name}: 1 in the file, 0 in the views"]
    assert f"delivered of order {name} (not there): 1 in the file, 0 in the views" in said()
    confirmed = name, "confirmed", total, 0, units, lines
    assert said(*confirmed) == [f"delivered of order {name} (confirmed): 1 in the file, 0 in the views"]
    assert said(*confirmed, deliver=False) == []


@pytest.mark.parametrize("deliver", [True, False])
def test_an_order_that_was_cancelled_though_nobody_asked_is_named_with_the_cause(year: Baskets, deliver: bool) -> None:
    right = seen(year)
    name, _, total, *rest, _ = right[7]

    def said(cause: str) -> list[str]:
        return differences(year, [*right[:7], [name, "cancelled", total, *rest, cause], *right[8:]], deliver)

    assert said("out-of-stock") == [f"served of order {name} (cancelled: out-of-stock): 1 in the file, 0 in the views"]
    wanted = [f"delivered of order {name} (cancelled): 1 in the file, 0 in the views"] if deliver else []
    assert said("asked") == wanted


def test_what_was_cancelled_and_paid_back_is_compared_with_what_the_orders_say() -> None:
    sales: dict[By, Sums] = {"site": {"a": (2, 9, 900, 500, 0), "b": (1, 1, 100, 0, 30)}, "day": {}}
    assert list(as_orders_say((500, 30), {"site": sales["site"]}).differences()) == []
    found = [str(each) for each in as_orders_say((500, 30), sales).differences()]
    assert found == [
        "cancelled of sales by day: 5.00 USD in the orders, 0.00 USD in the views",
        "refunded of sales by day: 0.30 USD in the orders, 0.00 USD in the views",
    ]


def test_an_order_of_the_channel_that_is_no_basket_is_named_and_one_of_a_later_basket_is_compared(
    year: Baskets,
) -> None:
    with Baskets(30) as more:
        right, later = seen(year), seen(more)
    assert differences(year, later) == []
    for stranger in ("4711", "basket-x", "basket-1"):
        (one,) = differences(year, [*right, [stranger, "delivered", 1, 1, 1, 1, 0, ""]])
        assert f"such as {stranger}" in one


def test_sums_are_of_what_was_to_be_played_and_of_what_was_played_before(year: Baskets) -> None:
    with Baskets(30) as more:
        sums, wider = FileSums(year), FileSums(more)
        assert sums.total()[0] == 20
        sums.see(seen(more))
        assert sums.total() == wider.total()
        assert sums.by("product") == wider.by("product")


class Refusing:
    """Has refused one order, by its command's id."""

    async def refused(self, context: str, command_ids: Sequence[str]) -> Mapping[str, str]:
        assert (context, command_ids) == ("order", ["replay-1", "replay-2"])
        return {"replay-2": "order.too-much"}


async def test_of_an_order_that_was_refused_the_rule_is_named() -> None:
    missing = [Difference("order", f"basket-{n}", "orders", 1, 0) for n in (1, 2)]
    others = [Difference("order", "basket-3 (confirmed)", "delivered", 1, 0), Difference("", "", "orders", 3, 1)]
    first, second, *rest = await explained([*missing, *others], cast(System, Refusing()))
    assert (first, rest) == (missing[0], others)
    assert str(second) == "orders of order basket-2 (order.too-much): 1 in the file, 0 in the views"


class Shop:
    """Stands where the read tables do: every order moves on by one step each time it is looked at."""

    STEPS = ("placed", "reserved", "confirmed")

    def __init__(self, stuck: str = "") -> None:
        self.looks, self.left, self.most, self.stuck = Counter[str](), Counter[str](), 0, stuck
        self.trouble = ""

    async def standings(self, ids: Sequence[str]) -> list[Standing]:
        return [self.standing(each) for each in ids if each != self.stuck]

    def standing(self, order: str) -> Standing:
        self.looks[order] += 1
        if self.left[order]:
            return Standing(order, "delivered", True, "delivered")
        state = self.STEPS[min(self.looks[order], len(self.STEPS)) - 1]
        return Standing(order, state, False, "scheduled" if state == "confirmed" else None)

    async def hand_over(self, parcels: Sequence[tuple[str, datetime]]) -> None:
        assert all(at == AT + timedelta(seconds=int(name)) for name, at in parcels)
        self.left.update(name for name, _ in parcels)


@pytest.mark.parametrize("deliver", [True, False])
async def test_no_more_than_a_window_is_ever_on_its_way_and_all_come_to_their_end(
    monkeypatch: pytest.MonkeyPatch, deliver: bool
) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.0)
    shop, most = Shop(), 0
    underway = Underway(cast(Views, shop), never, shop.hand_over if deliver else None, window=50)
    async with asyncio.TaskGroup() as group:
        group.create_task(underway.run(lambda: None))
        for n in range(400):
            await underway.room()
            underway.add(str(n), AT + timedelta(seconds=n))
            most = max(most, len(underway))
        underway.was_the_last()
    progress = underway.progress
    assert (len(underway), most) == (0, 50)
    assert (progress.visible, progress.settled, progress.delivered) == (400, 400, 400 if deliver else 0)
    assert shop.left == Counter({str(n): 1 for n in range(400)} if deliver else {})


async def test_one_that_never_moves_holds_back_none_of_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.0)
    monkeypatch.setattr(following, "PATIENCE_S", 0.3)
    shop = Shop(stuck="0")
    underway = Underway(cast(Views, shop), never, shop.hand_over, window=50)
    for n in range(49):
        underway.add(str(n), AT + timedelta(seconds=n))
    underway.was_the_last()
    await asyncio.wait_for(underway.run(lambda: None), 10)
    assert (len(underway), underway.progress.delivered) == (1, 48)


async def test_when_nothing_moves_and_others_wait_it_gives_up_and_names_the_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.0)
    monkeypatch.setattr(following, "PATIENCE_S", 0.1)
    shop = Shop(stuck="0")
    shop.trouble = "the views are away"
    underway = Underway(cast(Views, shop), never, window=1)
    underway.add("0", AT)
    with pytest.raises(click.ClickException, match=r"1 orders have not moved .* the first is 0: the views are away"):
        await asyncio.wait_for(underway.run(lambda: None), 10)


async def test_as_long_as_the_views_catch_up_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(following, "POLL_S", 0.0)
    monkeypatch.setattr(following, "PATIENCE_S", 0.05)
    asked = 0
    shop = Shop(stuck="0")

    async def catches_up() -> bool:
        nonlocal asked
        asked += 1
        shop.stuck = "0" if asked < 5 else ""
        return asked < 7

    underway = Underway(cast(Views, shop), catches_up, shop.hand_over, window=1)
    underway.add("0", AT)
    underway.was_the_last()
    await asyncio.wait_for(underway.run(lambda: None), 10)
    assert (asked, underway.progress.delivered) == (5, 1)


async def never() -> bool:
    return False


def test_what_is_shown_fits_into_80_columns(year: Baskets) -> None:
    sums = FileSums(year)
    file = sums.by("department")
    wrong = {**file, next(iter(file)): (0, 0, 0)}
    compared = [
        Compared("", ("orders", "lines", "units", "revenue"), {"": sums.total()}, {"": sums.total()}),
        *(Compared(by, SALES, file, wrong) for by in ("department", "product")),
    ]
    found = Comparison(compared, [], {"delivered": 200, "confirmed": 7}, sums.odd())
    rates = {"stored": 300.0, "visible": 299.1, "settled": 250.0, "delivered": 240.0}
    played = Played(sent=150, skipped=50, per_s=rates, visible_p50_ms=12.5, visible_p99_ms=None, found=found)
    console = Console(file=StringIO(), width=80)
    with Bars(console, {"prepared": 99_000, "stored": 155_848}, Progress()):
        pass
    show(played, console, full=True)
    text = cast(StringIO, console.file).getvalue()
    assert f"{len(file) - 1} of {len(file)}" in text and "unknown" in text and "all 207 baskets" in text
    assert max(map(len, text.splitlines())) <= 80
