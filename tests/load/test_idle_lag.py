"""The lag of single orders is taken from outside, and the CPU of an idle system of every process it has."""

import click
import pytest

from tests.load.idle_lag import Idle, Watch, measured, times
from tests.servers import System


async def test_single_orders_are_seen_from_outside_and_every_process_is_asked_for_its_cpu(system: System) -> None:
    found = await measured(system, tries=3, reads=2, pause=0.0, idle=0.2)
    assert (found.accepted.n, found.visible.n, found.read.n) == (3, 3, 2)
    assert 0 < found.visible.p50_ms <= found.visible.max_ms
    assert found.cpu.keys() == {*system.pids, "supervisor"}
    assert found.cpu_together == pytest.approx(sum(found.cpu.values()), abs=0.01)


async def test_an_order_that_never_becomes_visible_ends_the_run(monkeypatch: pytest.MonkeyPatch) -> None:
    class Nothing:
        async def fetchval(self, order: str) -> None:
            return None

    monkeypatch.setattr("tests.load.idle_lag.LATE_S", 0.01)
    with pytest.raises(click.ClickException, match="o1 is not visible after"):
        await Watch(Nothing()).until_visible("o1", "")


def test_a_missed_goal_is_told() -> None:
    good, bad = times([0.004] * 300), times([0.004] * 290 + [0.150] * 10)
    assert (bad.max_ms, bad.over_100_ms) == (150.0, 10)
    idle = Idle(good, bad, good, 0.1, 1.3, 60.0, {}, 5.5)
    assert list(idle.goals.values()) == [True, False, False, False]
