"""When the requests of a load begin: at a rate, whatever the server does, or one after the other."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import Protocol

FOREVER = float("inf")
SLICE_S = 0.1
"""A load that is stopped ends no later than this."""
TICKS = 1000
"""Moments a second at which requests may begin. The timer of a loop is no finer: asked for less, it would spin."""

GRACE_S = 0.05
"""For so long after the end, what is overdue is still sent: a timer that fires late is no fault of the server."""


class Schedule(Protocol):
    """Gives each request its time; all lanes of a load take from one."""

    async def next(self) -> float | None:
        """Returns when the next request should begin, with that time (of `perf_counter`); None when none is left."""

    def stop(self) -> None:
        """No request begins from now on."""

    @property
    def not_sent(self) -> int:
        """How many should have begun and did not."""

    @property
    def late(self) -> Sequence[float]:
        """How late, in seconds, those began for which a lane was waiting: the client's own doing, not the server's."""


class Steady:
    """An open loop: so many a second, evenly. A server that stalls does not slow it, its requests only begin late.

    What is still overdue when the time is up is not sent, and counted.
    """

    def __init__(self, rate: float, seconds: float, count: int | None = None) -> None:
        self._rate, self._begun, self._taken = rate, perf_counter(), 0
        self._end, self._turn = self._begun + seconds, asyncio.Lock()
        self._most = FOREVER if count is None else count
        self._late = list[float]()

    async def next(self) -> float | None:
        async with self._turn:  # One lane waits for the time, the others for their turn.
            intended = self._begun + int(self._taken * TICKS / self._rate + 1e-6) / TICKS
            overdue = intended <= perf_counter()
            await self._reach(intended)
            too_late = overdue and perf_counter() >= self._end + GRACE_S
            if too_late or intended >= self._end or self._taken >= self._most:
                return None
            self._taken += 1
            if not overdue:
                self._late.append(perf_counter() - intended)
            return intended

    async def _reach(self, moment: float) -> None:
        """Returns then, or soon after the loop was stopped."""
        while (early := moment - perf_counter()) > 0 and moment < self._end and self._taken < self._most:
            pause = min(max(early, 1 / TICKS), SLICE_S)
            await asyncio.sleep(pause)

    def stop(self) -> None:
        self._end = min(self._end, perf_counter())

    @property
    def late(self) -> Sequence[float]:
        return self._late

    @property
    def not_sent(self) -> int:
        due = int((min(perf_counter(), self._end) - self._begun) * self._rate - 1e-6) + 1
        return int(max(0, min(due, self._most) - self._taken))


class OneByOne:
    """A closed loop: a lane's next request begins when its last is answered."""

    not_sent = 0
    late: Sequence[float] = ()

    def __init__(self, seconds: float, count: int | None = None) -> None:
        self._end = perf_counter() + seconds
        self._left = FOREVER if count is None else count

    async def next(self) -> float | None:
        now = perf_counter()
        if now >= self._end or self._left <= 0:
            return None
        self._left -= 1
        return now

    def stop(self) -> None:
        self._end = min(self._end, perf_counter())


async def follow(schedule: Schedule, begin: Callable[[float], Awaitable[object]]) -> None:
    """One lane of a load: begins each request at its time, one at a time, and tells it the time it was meant for."""
    while (intended := await schedule.next()) is not None:
        await begin(intended)
