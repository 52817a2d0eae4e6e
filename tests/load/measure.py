"""Measures one run: what was accepted, when all of it was visible, and which process used how much CPU for it."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from time import monotonic
from typing import Any, TypeVar

import psutil
import uvloop
from msgspec import Struct

from tests.load.closed_loop import Run
from tests.load.lag import Watched
from tests.servers import until

T = TypeVar("T")

VISIBLE_WITHIN_S = 120.0
CLIENT, OTHERS = "client", "others"
"""Who else uses CPU: this program with those that it runs for a load, and whatever else runs on the machine."""

Load = Callable[[float], Coroutine[Any, Any, Run]]
"""Sends orders for so many seconds."""
Count = Callable[[], Awaitable[int]]


class Running(Struct, frozen=True):
    """A system that runs: its processes, and its loads by path."""

    pids: Mapping[str, int]
    loads: Mapping[str, Load]
    kept: Count | None = None
    """How many orders it has stored for good, in the table or stream that is read; None for what stores nothing."""
    progress: Count | None = None
    """A number that is cheap to ask for and grows by one for each order that becomes visible; `kept` where None."""
    watched: Watched | None = None
    """Where to look for the times of each order; None for what is visible once it is answered."""


class Round(Struct, frozen=True):
    """One run of one path.

    `cpu_us` is what each process used for each accepted order, in microseconds; `cores` how many cores it used
    between the first order sent and the last one visible.
    """

    path: str
    accepted: int
    refused: int
    accepted_per_s: float
    visible_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]
    cores: dict[str, float]


async def measured(path: str, running: Running, seconds: float) -> Round:
    """Runs the load of a path until all of it is visible. Raises `AssertionError` when orders are missing."""
    kept, progress = await counted(running.kept), await counted(running.progress or running.kept)
    used, begun = cpu_seconds(running.pids), monotonic()
    run = await in_a_loop_of_its_own(running.loads[path](seconds))
    if running.kept:
        await visible(running.progress or running.kept, progress + run.accepted)
    taken = max(monotonic() - begun, run.seconds) if running.progress else run.seconds
    spent = {name: now - used[name] for name, now in cpu_seconds(running.pids).items()}
    elapsed = monotonic() - begun
    if running.kept:
        assert await running.kept() == kept + run.accepted, f"{path}: what is stored is not what was accepted"
    return Round(
        path=path,
        accepted=run.accepted,
        refused=run.refused,
        accepted_per_s=round(run.accepted / run.seconds, 1),
        visible_per_s=round(run.accepted / taken, 1),
        p50_ms=quantile_ms(run.latencies, 0.50),
        p99_ms=quantile_ms(run.latencies, 0.99),
        cpu_us={name: round(s * 1e6 / max(run.accepted, 1), 1) for name, s in spent.items() if name != OTHERS},
        cores={name: round(max(s, 0.0) / elapsed, 3) for name, s in spent.items()},
    )


async def counted(count: Count | None) -> int:
    return await count() if count else 0


async def visible(progress: Count, goal: int) -> None:
    async def reached() -> bool:
        return await progress() >= goal

    await until(reached, VISIBLE_WITHIN_S, "all accepted orders to be visible")


async def in_a_loop_of_its_own(load: Coroutine[Any, Any, T]) -> T:
    """Runs a load under uvloop, in a thread: the loop of the servers' supervisor has other duties, and is slower."""
    return await asyncio.to_thread(uvloop.run, load)


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """The CPU time so far of each process with its children, also those that have ended, and of everybody else."""
    used = {name: sum(map(_own, tree(pid))) for name, pid in pids.items()}
    used[CLIENT] = _own(psutil.Process())
    machine = psutil.cpu_times()
    busy = machine.user + machine.system + machine.nice + machine.irq + machine.softirq
    return used | {OTHERS: busy - sum(used.values())}


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def _own(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


def quantile_ms(ascending: list[float], share: float) -> float:
    place = min(int(len(ascending) * share), len(ascending) - 1)
    return round(ascending[place] * 1000, 1) if ascending else 0.0
