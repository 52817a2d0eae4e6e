"""A short year is played, measured and shown; what is made of looks and of the record is right."""

from datetime import UTC, datetime
from pathlib import Path

import click
import pytest
from rich.console import Console

from contexts.order.events import OrderDelivered, OrderPlaced
from tests.load.fold_or_table import compared
from tests.load.processes import MIB, Look, between, cpu_between, memories
from tests.load.queries import measured
from tests.load.queries import show as show_queries
from tests.load.stages import counted
from tests.load.year import Lag, data_in, lags_of, played
from tests.load.year_shown import show
from tests.servers import running_system
from tests.short_year import short_year

BASKETS, OF_A_YEAR = 12, 60


async def test_a_short_year_is_played_to_its_end_and_all_is_measured(tmp_path: Path) -> None:
    path = short_year(tmp_path, OF_A_YEAR)
    with data_in(None) as data:
        async with running_system(data) as system:
            year = await played(system, str(BASKETS), "nats", PYTHONPATH=path)
            found = await measured(system, 4, 0.1, "GetOrder")
            found_deep = await measured(system, 4, 0.1, "ListProducts deep")
            ways = await compared(system, tries=2, seconds=1)
    assert (year.baskets, year.stages.stages["OrderDelivered"].orders) == (BASKETS, BASKETS)
    assert {"nats", "projectors", "gateway", "postgres-read", "context-order", "replay"} <= year.memory.keys()
    assert all(memory.peak > 1 for memory in year.memory.values())
    assert {"order.events", "order.receipts"} <= year.disk.write_tables.keys()
    assert year.disk.per_order > 0
    assert "orders of order" in year.lags
    console = Console(width=100, record=True)
    show(year, console)
    assert f"{BASKETS} orders by nats" in console.export_text()
    assert {each.name for each in found.took} == {"GetOrder", "GetOrderStatus"}
    assert all(each.statuses.keys() == {200} and each.p99_ms > 0 for each in found.took)
    order, status = sorted(found.took, key=lambda each: each.name)
    assert order.plan
    assert (order.plan.indexes, order.plan.read_whole, status.plan) == (["orders_pkey"], [], None)
    assert [each.name for each in found_deep.took] == ["ListProducts deep"]
    assert [each.question for each in ways[::2]] == [each.question for each in ways[1::2]]
    assert (len(ways), ways[1].made_of) == (6, 7)
    show_queries(found, console)
    assert "orders_pkey" in console.export_text()


def test_a_folder_that_holds_data_is_not_played_into(tmp_path: Path) -> None:
    with data_in(tmp_path / "kept") as data:
        data.mkdir()
    with pytest.raises(click.ClickException), data_in(tmp_path / "kept"):
        pass


def test_stages_are_counted_by_second_from_the_first_order_on() -> None:
    def at(second: float) -> datetime:
        return datetime.fromtimestamp(1000 + second, UTC)

    found = counted([("OrderPlaced", 1000, 3, at(0.5), at(0.9)), ("OrderPlaced", 1002, 1, at(2.1), at(2.1)),
                     ("OrderDelivered", 1004, 4, at(4.0), at(4.5))])  # fmt: skip
    assert found.stages[OrderPlaced.__name__].by_second == [3, 0, 1, 0, 0]
    assert found.stages[OrderDelivered.__name__].by_second == [0, 0, 0, 0, 4]
    assert (found.orders, found.seconds, found.fulfilled_per_s) == (4, 4.0, 1.0)
    with pytest.raises(ValueError, match="no order"):
        counted([])


def test_memory_is_told_by_its_peak_and_by_how_it_grows_in_the_second_half() -> None:
    sizes = [10, 90, 50, 50, 50, 60, 70]
    looks = [Look(10.0 * n, {"a": size * MIB, "b": MIB}, {}) for n, size in enumerate(sizes)]
    found = memories(looks)
    assert list(found) == ["a", "b"]
    assert found["a"].peak == 90
    assert found["a"].grows_a_minute == pytest.approx(42)
    assert found["b"].grows_a_minute == 0


def test_cpu_is_counted_from_the_first_look_to_the_last_and_from_nothing_for_who_came_later() -> None:
    looks = [Look(float(n), {}, {"a": 5.0 + n} | ({"b": 3.0 * n} if n > 1 else {})) for n in range(5)]
    assert cpu_between(between(looks, 1, 3)) == {"b": 9.0, "a": 2.0}
    assert cpu_between(looks[:1]) == {}


def test_lags_are_told_by_the_middle_of_all_looks_and_the_worst() -> None:
    def look(p50: object, p99: object) -> dict[str, object]:
        return {"read_models": [{"model": "orders", "context": "order", "p50_ms": p50, "p99_ms": p99}]}

    looks = [look("unknown", "unknown"), look(1.0, 10.0), look(3.0, 90.0), look(2.0, 20.0), {}]
    assert lags_of(looks) == {"orders of order": Lag(2.0, 20.0, 90.0)}
