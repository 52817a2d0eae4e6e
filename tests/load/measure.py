"""Measures one run: what was accepted, when all of it was visible, and which process used how much CPU for it."""

import asyncio
import os
from collections.abc import Coroutine, Mapping
from time import monotonic
from typing import Any, Protocol

import psutil
import uvloop
from msgspec import Struct

from tests.load.closed_loop import Run
from tests.servers import until

VISIBLE_WITHIN_S = 120.0


class Measurable(Protocol):
    """A system whose read table can be looked at."""

    async def rows(self) -> int:
        """How many orders the read table holds."""

    async def progress(self) -> int:
        """A number that is cheap to ask for and grows by one for each order that becomes visible."""


class Round(Struct, frozen=True):
    """One run of one path. `cpu_us` is what each process used for each accepted order, in microseconds."""

    path: str
    accepted: int
    refused: int
    accepted_per_s: float
    visible_per_s: float
    p50_ms: float
    p99_ms: float
    cpu_us: dict[str, float]


async def measured(path: str, system: Measurable, pids: Mapping[str, int], load: Coroutine[Any, Any, Run]) -> Round:
    """Runs the load and waits until all of it is visible. Raises `AssertionError` when rows are missing or too many."""
    rows, progress, used = await system.rows(), await system.progress(), cpu_seconds(pids)
    begun = monotonic()
    run = await in_a_loop_of_its_own(load)

    async def all_visible() -> bool:
        return await system.progress() >= progress + run.accepted

    await until(all_visible, VISIBLE_WITHIN_S, f"{run.accepted} orders to be visible")
    visible_s = monotonic() - begun
    now = cpu_seconds(pids)
    assert await system.rows() == rows + run.accepted, "the read table does not hold what was accepted"
    return Round(
        path=path,
        accepted=run.accepted,
        refused=run.refused,
        accepted_per_s=round(run.accepted / run.seconds, 1),
        visible_per_s=round(run.accepted / visible_s, 1),
        p50_ms=quantile_ms(run.latencies, 0.50),
        p99_ms=quantile_ms(run.latencies, 0.99),
        cpu_us={name: round((now[name] - used[name]) * 1e6 / max(run.accepted, 1), 1) for name in used},
    )


async def in_a_loop_of_its_own(load: Coroutine[Any, Any, Run]) -> Run:
    """Runs a load under uvloop, in a thread: the loop of the servers' supervisor has other duties, and is slower."""
    return await asyncio.to_thread(uvloop.run, load)


def cpu_seconds(pids: Mapping[str, int]) -> dict[str, float]:
    """The CPU time of each process and its children so far; that of the client is this process's own."""
    used = {"client": sum(psutil.Process(os.getpid()).cpu_times()[:2])}
    for name, pid in pids.items():
        process = psutil.Process(pid)
        used[name] = sum(sum(each.cpu_times()[:2]) for each in [process, *process.children(recursive=True)])
    return used


def quantile_ms(ascending: list[float], share: float) -> float:
    return round(ascending[int(len(ascending) * share)] * 1000, 1) if ascending else 0.0
