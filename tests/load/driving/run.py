"""Runs a load: warms up, drives all lanes by one schedule, shows how it goes, waits until all of it is visible."""

import asyncio
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from secrets import token_hex
from time import perf_counter
from typing import Any, Protocol

import click
from msgspec import Struct

from tests.load.driving.live import shown
from tests.load.driving.mix import OF_ORDERS, Material, Orders, in_turn
from tests.load.driving.result import Result, client_of, errors_of, kinds_of, timeline_of
from tests.load.driving.tally import NOTHING, Outcome, Tally
from tests.load.driving.target import Target
from tests.load.driving.watch import Watch
from tests.load.pace import OneByOne, Schedule, Steady, follow

LAST_ANSWER_S = 15.0
SIGNALS = (signal.SIGINT, signal.SIGTERM)
FIRST_ORDERS = 20
"""Orders that are placed before a run begins, so that there is something to read; they are not counted."""


class Lane(Protocol):
    """Sends one request at a time."""

    async def ask(self, kind: str) -> Outcome:
        """What became of it."""

    def close(self) -> None:
        """Nothing is asked any more."""


class Plan(Struct, frozen=True):
    """How much. With a `rate` it is an open loop, at most `lanes` in flight; else each lane is a closed one."""

    mix: dict[str, int]
    seconds: float
    count: int | None
    rate: float | None
    lanes: int

    def schedule(self) -> Schedule:
        if self.rate is None:
            return OneByOne(self.seconds, self.count)
        return Steady(self.rate, self.seconds, self.count)

    @property
    def loop(self) -> str:
        if self.rate is None:
            return f"closed loop, {self.lanes} at a time"
        return f"open loop, {self.rate:g}/s, {self.lanes} in flight at most"


Opened = Callable[[Target, Material, Orders, int], AbstractAsyncContextManager[Sequence[Lane]]]
"""Lanes, so many, that are open while a block runs."""


async def driven(door: str, opened: Opened, target: Target, material: Material, plan: Plan) -> Result:
    """Runs the load until its time or count is up, or somebody stops it. Raises `click.ClickException` when the very
    first orders are not taken."""
    orders, watch = Orders(f"load-{token_hex(4)}", material.bodies), Watch(target)
    async with opened(target, material, orders, plan.lanes) as lanes:
        await watch.first_look()
        await first_orders(lanes[0])
        await watch.all_visible(FIRST_ORDERS)
        watch.looks = watch.looks[-1:]
        tally, schedule, cpu = Tally(), plan.schedule(), time.process_time()
        async with stoppable(schedule) as stopped, beside(watch.run()), beside(shown(tally, watch, plan)):
            await all_lanes(lanes, schedule, plan, orders, tally, stopped)
            seconds, cpu = perf_counter() - tally.begun, time.process_time() - cpu
            not_sent = schedule.not_sent
            await watch.look()
        await watch.all_visible(tally.accepted)
    watch.close()
    taken = max(watch.looks[-1].at - tally.begun, seconds) if watch.looks else seconds
    return Result(
        door=door,
        target=target.nats_url if door == "NATS" else target.name,
        loop=plan.loop,
        mix=plan.mix,
        seconds=round(seconds, 2),
        stopped_early=stopped.is_set(),
        sent=tally.sent,
        not_sent=not_sent,
        failed=tally.failed,
        accepted=tally.accepted,
        accepted_per_s=round(tally.accepted / seconds, 1),
        visible=watch.visible if watch.looks else None,
        visible_per_s=round(watch.visible / taken, 1) if watch.looks else None,
        lag_p50_ms=watch.looks[-1].p50_ms if watch.looks else None,
        lag_p99_ms=watch.looks[-1].p99_ms if watch.looks else None,
        orders_prefix=orders.prefix,
        orders_placed=orders.placed,
        kinds=kinds_of(tally),
        errors=errors_of(tally),
        timeline=timeline_of(tally, watch.looks, seconds),
        client=client_of(schedule.late, cpu, seconds),
    )


async def first_orders(lane: Lane) -> None:
    for _ in range(FIRST_ORDERS):
        outcome = await lane.ask("place")
        if outcome.status != 202:
            why = outcome.example or outcome.reason
            raise click.ClickException(f"the first order is not taken ({outcome.status or 'no answer'}): {why}")


async def all_lanes(
    lanes: Sequence[Lane], schedule: Schedule, plan: Plan, orders: Orders, tally: Tally, stopped: asyncio.Event
) -> None:
    """Ends when every request has its answer; those that have none long after the end are counted as failed."""
    kinds = in_turn(plan.mix)

    async def one(lane: Lane, intended: float) -> None:
        kind = next(kinds)
        if kind in OF_ORDERS and not orders.can(kind):
            kind = "place"  # Nothing is left to cancel: an order keeps up the rate.
        tally.sent += 1
        tally.note(await lane.ask(kind), intended)

    tasks = [asyncio.create_task(follow(schedule, lambda at, lane=lane: one(lane, at))) for lane in lanes]  # type: ignore[misc]  # a bound name
    async with beside(stopped.wait()) as stop, beside(asyncio.wait(tasks)) as answered:
        await asyncio.wait({stop, answered}, timeout=plan.seconds, return_when=asyncio.FIRST_COMPLETED)
    schedule.stop()
    _, late = await asyncio.wait(tasks, timeout=LAST_ANSWER_S)
    for task in late:
        task.cancel()
    for found in await asyncio.gather(*tasks, return_exceptions=True):
        if isinstance(found, asyncio.CancelledError):
            tally.note(Outcome("unknown", NOTHING, "no answer in time"), tally.begun)
        elif isinstance(found, BaseException):
            raise found


@asynccontextmanager
async def stoppable(schedule: Schedule) -> AsyncIterator[asyncio.Event]:
    """Ctrl-C ends the run; what was measured until then is shown. A second one waits for nothing any more."""
    loop, stopped = asyncio.get_running_loop(), asyncio.Event()

    def stop() -> None:
        stopped.set()
        schedule.stop()
        hear_no_more()

    def hear_no_more() -> None:
        with suppress(ValueError, RuntimeError):
            for number in SIGNALS:
                loop.remove_signal_handler(number)

    with suppress(ValueError, RuntimeError):  # Only the main thread hears signals.
        for number in SIGNALS:
            loop.add_signal_handler(number, stop)
    try:
        yield stopped
    finally:
        hear_no_more()


@asynccontextmanager
async def beside(work: Coroutine[Any, Any, Any]) -> AsyncIterator[asyncio.Task[Any]]:
    """Runs something while the block runs, and no longer."""
    task = asyncio.create_task(work)
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
