"""Daybook beside what one would use in its place: `make bench`, or

    python -m tests.load.bench [--quick] [--json FILE]

All on this machine, in turn: in each round every system is started on a folder of its own, takes the same real baskets,
and is stopped before the next one starts. What is compared does the same durable work; where a system does less or more
than Daybook, the table says so. Orders that were accepted and are not in the table at the end of a run end the bench.
"""

import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path
from time import monotonic

import click
import msgspec
from rich.console import Console

from gateway.cli.baskets import Baskets
from tests.load.lag import Lags, idle, loaded
from tests.load.measure import Round, in_a_loop_of_its_own, measured
from tests.load.plan import FULL, QUICK, Plan
from tests.load.result import Result, RoundDone, result
from tests.load.rivals.daybook import DAYBOOK
from tests.load.rivals.registry import AGAINST, SYSTEMS
from tests.load.rivals.system import Sample, System
from tests.load.table import show
from tests.servers import temporary_data

BASKETS = 2000
FASTEST = "http_128"
"""The path whose rate is halved for the lag under load."""


@click.command()
@click.option("--quick", is_flag=True, help="Short runs: within five minutes; their figures vary more.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Also write the result there.")
@click.option("--only", help="Beside Daybook, only these systems, with commas between.")
def main(quick: bool, file: Path | None, only: str | None) -> None:
    """Compare Daybook with its rivals on this machine."""
    chosen = [system for system in SYSTEMS if not only or system is DAYBOOK or system.name in only.split(",")]
    told = Console(stderr=True, highlight=False)
    outcome = asyncio.run(bench(QUICK if quick else FULL, chosen, told))
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(outcome)))
    show(outcome, chosen, Console(width=None if sys.stdout.isatty() else 100))


async def bench(plan: Plan, systems: Sequence[System], told: Console) -> Result:
    """Leaves out what is absent, runs the rounds that fit, and sums them up."""
    begun, rounds = monotonic(), list[RoundDone]()
    absent = {system.name: why for system in systems if (why := system.absent())}
    for name, why in absent.items():
        told.print(f"{name} is left out: {why}")
    present = [system for system in systems if system.name not in absent]
    with Baskets(BASKETS) as baskets, temporary_data() as folder:
        folder.mkdir(mode=0o711)
        sample = Sample.of([basket.order for basket in baskets])
        while len(rounds) < plan.rounds and fits(plan, len(rounds), monotonic() - begun):
            told.print(f"round {len(rounds) + 1} of {plan.rounds}")
            rounds.append(await one_round(plan, present, folder, sample, told))
    return result(rounds, AGAINST, absent)


def fits(plan: Plan, done: int, taken_s: float) -> bool:
    """Whether one more round, as long as those before on average, ends in time. The first one always does."""
    return not done or taken_s + taken_s / done <= plan.within_s


async def one_round(plan: Plan, systems: Sequence[System], folder: Path, sample: Sample, told: Console) -> RoundDone:
    runs, idle_lag, load_lag = dict[str, Round](), Lags([]), Lags([])
    for system in systems:
        async with system.run(folder / system.name, sample) as running:
            for path, title in system.paths.items():
                await measured(path, running, plan.warm_s)
                runs[path] = done = await measured(path, running, plan.run_s)
                told.print(f"  {title}: {done.visible_per_s:,.0f}/s")
            if running.watched:
                rate = runs[FASTEST].accepted_per_s / 2
                load_lag = await in_a_loop_of_its_own(loaded(running.watched, rate, plan.half_load_s))
                idle_lag = await in_a_loop_of_its_own(idle(running.watched, plan.lone_orders, plan.pause_s))
    return RoundDone(runs, idle_lag, load_lag)


if __name__ == "__main__":
    main()
