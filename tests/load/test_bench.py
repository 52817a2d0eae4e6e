"""The bench compares what it says: ratios are of pairs, what is absent is told, and its plans keep their promises."""

import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.load import bench
from tests.load.closed_loop import Run
from tests.load.lag import Lags, first_seen
from tests.load.measure import Round, Running
from tests.load.plan import FULL, QUICK, Plan
from tests.load.result import Result, RoundDone, limit, result
from tests.load.rivals.registry import AGAINST, SYSTEMS
from tests.load.rivals.system import Sample, System
from tests.load.table import show

SHORT = Plan(within_s=60, rounds=2, run_s=0.01, warm_s=0.01, lone_orders=1, pause_s=0.01, half_load_s=0.1)


def done(
    rates: dict[str, float], idle: list[float] | None = None, half: list[float] | None = None, noise: float = 0.0
) -> RoundDone:
    runs = {
        path: Round(path, 1, 0, rate, rate, 1, 2, {"gateway": 100.0, "client": 20.0}, {"gateway": 0.5, "others": noise})
        for path, rate in rates.items()
    }
    return RoundDone(runs, Lags(idle or [0.005]), Lags(half or [0.02], 10.0))


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    rounds = [
        done({"http_128": 200, "monolith": 100}),
        done({"http_128": 1500, "monolith": 1000}),
        done({"http_128": 300, "monolith": 100}),
    ]
    made = result(rounds, {"http_128": ["monolith"]}, {})
    assert made.ratios == {"http_128_vs_monolith": 2.0}
    assert made.spread == {"http_128_vs_monolith": [2.0, 1.5, 3.0]}
    assert made.figures["http_128_per_s"] == 300
    assert made.figures["http_128_cpu_us"] == 120


def test_lags_of_lone_orders_are_one_sample_and_those_under_load_the_rounds_median() -> None:
    rounds = [done({"nats": 1}, [0.004], [0.010]), done({"nats": 1}, [0.006], [0.020]), done({"nats": 1}, [0.1], [0.9])]
    figures = result(rounds, {}, {}).figures
    assert [figures[f"lag_idle_{q}_ms"] for q in ("p50", "p99", "max")] == [6.0, 100.0, 100.0]
    assert figures["lag_half_load_p99_ms"] == 20.0


def test_an_event_is_seen_at_the_first_look_that_shows_its_position() -> None:
    looks = [(1.0, 0), (2.0, 2), (3.0, 2), (4.0, 5)]
    assert first_seen([(1, 0.5), (2, 1.5), (3, 1.9), (5, 3.5)], looks) == pytest.approx([1.5, 0.5, 2.1, 0.5])


def test_what_limits_a_path_is_read_from_its_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("psutil.cpu_count", lambda: 2)
    assert limit({"gateway": 0.95, "nats": 0.3, "others": 0.0}) == "gateway is near a core (0.95)"
    full = limit({"gateway": 0.7, "nats": 0.6, "client": 0.5, "others": 0.05})
    assert full == "the 2 cores are full: gateway 0.70, nats 0.60, client 0.50"
    assert limit({"postgres": 0.4, "others": 0.2}) == (
        "waits (disk, round trips): postgres 0.40, 0.4 of 2 cores; others took 0.20"
    )


@pytest.mark.parametrize("plan", [QUICK, FULL], ids=["quick", "full"])
def test_all_systems_fit_into_what_a_plan_promises(plan: Plan) -> None:
    assert plan.expected_s(SYSTEMS) <= plan.within_s
    assert (QUICK.within_s, FULL.within_s) == (300, 1200)


def test_a_round_that_might_not_end_in_time_is_not_begun() -> None:
    assert bench.fits(QUICK, 0, 1000)
    assert bench.fits(QUICK, 2, 190)
    assert not bench.fits(QUICK, 2, 210)
    assert not bench.fits(QUICK, 1, 160)


def test_every_ratio_is_between_paths_that_are_measured() -> None:
    paths = {path for system in SYSTEMS for path in system.paths}
    assert {path for ours, others in AGAINST.items() for path in (ours, *others)} <= paths


def stand_in(name: str, path: str, absent: str = "") -> System:
    """A system that takes every order at once."""

    @asynccontextmanager
    async def run(data: Path, sample: Sample) -> AsyncIterator[Running]:
        async def load(seconds: float) -> Run:
            return Run(1.0, {201: len(sample.orders)}, [0.001])

        yield Running({}, {path: load})

    return System(name, {path: f"{name} itself"}, "less: it does nothing", run, lambda: absent)


async def test_an_absent_rival_is_left_out_and_said_to_be_absent_in_table_and_json() -> None:
    systems = [
        stand_in("daybook", "http_128"),
        stand_in("monolith", "monolith"),
        stand_in("emmett", "emmett_1", "no Node"),
    ]
    said = io.StringIO()
    outcome = await bench.bench(SHORT, systems, Console(file=said))
    assert "emmett is left out: no Node\n" in said.getvalue()
    assert len(outcome.rounds) == 2
    assert outcome.ratios == {"http_128_vs_monolith": 1.0}
    assert "emmett_1_per_s" not in outcome.figures
    plain = msgspec.json.decode(msgspec.json.encode(outcome))
    assert plain["absent"] == {"emmett": "no Node"}
    assert {type(value) for part in ("ratios", "figures") for value in plain[part].values()} == {float}
    table = io.StringIO()
    show(outcome, systems, Console(file=table, width=100))
    assert "emmett: absent" in table.getvalue()
    assert "emmett: left out, because no Node" in table.getvalue()


def test_the_whole_table_fits_a_hundred_columns() -> None:
    every = {path: 1_234_567.8 for system in SYSTEMS for path in system.paths}
    outcome: Result = result([done(every)] * 3, AGAINST, {})
    table = io.StringIO()
    show(outcome, SYSTEMS, Console(file=table, width=200))
    lines = table.getvalue().splitlines()
    assert max(map(len, lines)) <= 100
    assert sum("1,234,568" in line for line in lines) == len(every)


def test_a_machine_that_was_not_quiet_is_told() -> None:
    def said(noise: float) -> str:
        table = io.StringIO()
        show(result([done({"nats": 1.0}, noise=noise)], {}, {}), [stand_in("daybook", "nats")], Console(file=table))
        return table.getvalue()

    assert "other programs used 50 % of a core" in said(0.5)
    assert "not quiet" not in said(0.05)
