"""The clocks of the servers, as this process sees them (protocol P11).

A duration that begins on one machine and ends on another needs both clocks. So a process asks each server for its time
now and then, and keeps how far that is ahead of its own monotonic clock, which no change of the system's time moves. Of
a few questions the one that was answered soonest counts: the server has spoken in the middle of it, give or take half.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from time import monotonic, time

import nats.errors
from msgspec import Struct
from nats.aio.client import Client

from common.bus.api import ApiError, ask_jetstream
from common.shell.patience import AWAY
from common.store.reader import EventReader

EVERY_S, AGAIN_S = 30.0, 1.0
"""How long until the next measurement: after one, and after none."""
QUESTIONS = 5
ANSWER_S = 1.0

SILENT = (*AWAY, ApiError, nats.errors.Error)


class Offset(Struct, frozen=True):
    """How far a server's clock is ahead of the wall clock of the process that says so, in milliseconds.

    It may be wrong by `within_ms` at most; `measured_s` ago. None when it was never measured.
    """

    server: str
    offset_ms: float | None = None
    within_ms: float | None = None
    measured_s: float | None = None


class ServerClock:
    """What time it is on one server. Nobody knows until it has been measured once."""

    def __init__(self, server: str, ask: Callable[[], Awaitable[datetime]]) -> None:
        self._server, self._ask = server, ask
        self._ahead: float | None = None
        self._round_trip = self._measured = 0.0

    async def run(self) -> None:
        """Until cancelled. A server that is away is asked later; what is known of its clock stands."""
        while True:
            known = await self.measure()
            await asyncio.sleep(EVERY_S if known else AGAIN_S)

    async def measure(self) -> bool:
        """Whether the server has answered."""
        try:
            async with asyncio.timeout(ANSWER_S * QUESTIONS):
                found = [await self._question() for _ in range(QUESTIONS)]
        except SILENT:
            return False
        self._round_trip, self._ahead = min(found)
        self._measured = monotonic()
        return True

    async def _question(self) -> tuple[float, float]:
        """How long an answer took, and how far ahead of our monotonic clock the server then was, in seconds."""
        asked = monotonic()
        said = (await self._ask()).timestamp()
        answered = monotonic()
        return answered - asked, said - (asked + answered) / 2

    def at(self, moment: float) -> float | None:
        """The server's time at a moment of our monotonic clock, in seconds since 1970."""
        return None if self._ahead is None else self._ahead + moment

    def since(self, then: datetime | None, moment: float) -> float | None:
        """Seconds from a time of the server's clock until a moment of ours; None when nobody knows."""
        now = self.at(moment)
        return None if now is None or then is None else now - then.timestamp()

    def offset(self) -> Offset:
        """As it is shown."""
        if self._ahead is None:
            return Offset(self._server)
        now = monotonic()
        ahead_ms = (self._ahead + now - time()) * 1000
        return Offset(
            self._server, round(ahead_ms, 3), round(self._round_trip * 500, 3), round(now - self._measured, 1)
        )


def bus_clock(nc: Client, stream: str) -> ServerClock:
    """The clock of the NATS server. Every answer about a stream carries its time."""

    async def ask() -> datetime:
        return datetime.fromisoformat((await ask_jetstream(nc, f"STREAM.INFO.{stream}", {}, ANSWER_S))["ts"])

    return ServerClock("nats", ask)


def store_clock(reader: EventReader) -> ServerClock:
    """The clock of the database that records a context."""
    return ServerClock(f"postgres-{reader.context}", reader.now)


async def nobody() -> datetime:
    raise ConnectionError("this clock cannot be asked")


UNMEASURED = ServerClock("", nobody)


class Clocks(Struct, frozen=True):
    """What a command's way is timed by: the bus stored it and its events, the store recorded these."""

    bus: ServerClock = UNMEASURED
    store: ServerClock = UNMEASURED

    def offsets(self) -> list[Offset]:
        return [self.bus.offset(), self.store.offset()]


UNTIMED = Clocks()
"""For who measures nothing: every duration is unknown."""
