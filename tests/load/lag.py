"""How long an order takes to be visible, as somebody sees it who looks into both databases from outside.

Both times of an event are its own record's (`accepted_at`, `recorded_at`); `visible` is when a look into the read
database first showed it, so every figure here is a little too large, never too small.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from itertools import cycle
from time import monotonic, time
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from tests.load.pace import Steady, follow
from tests.load.wire import Line, open_line

SEEN = "SELECT EXISTS (SELECT FROM read.orders WHERE order_id = $1)"
POSITION = "SELECT position FROM read.checkpoints WHERE model = 'orders' AND context = 'order'"
ACCEPTED = """SELECT extract(epoch FROM accepted_at)::float8 FROM "order".events WHERE stream = $1"""
HEAD = """SELECT position FROM "order".head"""
RECORDED = """
SELECT position, extract(epoch FROM recorded_at)::float8 FROM "order".events WHERE position > $1 AND position <= $2
ORDER BY position
"""
LOOK_S = 0.004
"""Between two looks under load: what they cost is a twentieth of a core."""
LINES = 128
VISIBLE_WITHIN_S = 30.0


class Watched(Struct, frozen=True):
    """A system whose record and read tables can be looked at, and the requests that place orders."""

    port: int
    requests: Sequence[bytes]
    write_dsn: str
    read_dsn: str


class Lags(Struct, frozen=True):
    """Seconds from the first to the second of two moments, for each order; `per_s` is how many came in each second."""

    seconds: list[float]
    per_s: float = 0.0


async def idle(watched: Watched, tries: int, pause_s: float) -> Lags:
    """From accepted to visible, of so many orders each of which comes alone, after a pause."""
    async with AsyncExitStack() as stack:
        reads, record = await opened(stack, watched)
        line = await open_line("127.0.0.1", watched.port)
        stack.callback(line.close)
        lags = []
        for request in watched.requests[:tries]:
            await asyncio.sleep(pause_s)
            lags.append(await alone(line, request, reads, record))
    return Lags(lags)


async def alone(line: Line, request: bytes, reads: Any, record: Any) -> float:
    reply = await line.ask(request)
    if reply.status != 202:
        raise RuntimeError(f"a lone order was answered with {reply.status}: {reply.body.decode()}")
    order_id, until = msgspec.json.decode(reply.body)["key"], monotonic() + VISIBLE_WITHIN_S
    while not await reads.fetchval(SEEN, order_id):
        if monotonic() > until:
            raise AssertionError(f"order {order_id} was not visible within {VISIBLE_WITHIN_S:.0f} s")
    seen = time()
    return float(seen - await record.fetchval(ACCEPTED, order_id))


async def loaded(watched: Watched, rate: float, seconds: float) -> Lags:
    """From recorded to visible, of orders that come at a rate whatever the system does."""
    async with AsyncExitStack() as stack:
        reads, record = await opened(stack, watched)
        lines = [await open_line("127.0.0.1", watched.port) for _ in range(LINES)]
        for line in lines:
            stack.callback(line.close)
        first, looks = await record.fetchval(HEAD), list[tuple[float, int]]()
        watching = asyncio.create_task(watch(reads, looks))
        stack.callback(watching.cancel)
        placed = await at_a_rate(lines, watched.requests, rate, seconds)
        await until_seen(looks, first + placed, watching)
        recorded = await record.fetch(RECORDED, first, first + placed)
    return Lags(first_seen(recorded, looks), placed / seconds)


async def watch(reads: Any, looks: list[tuple[float, int]]) -> None:
    """Notes how far the read table is, and when it was seen to be there."""
    while True:
        position = await reads.fetchval(POSITION)
        looks.append((time(), position or 0))
        await asyncio.sleep(LOOK_S)


async def at_a_rate(lines: Sequence[Line], requests: Sequence[bytes], rate: float, seconds: float) -> int:
    """How many orders were accepted. Lines that are busy let requests begin late; none is left out for that."""
    schedule, endless, accepted = Steady(rate, seconds), cycle(requests), 0

    async def lane(line: Line) -> None:
        async def begin(intended: float) -> None:
            nonlocal accepted
            reply = await line.ask(next(endless))
            accepted += reply.status == 202

        await follow(schedule, begin)

    await asyncio.gather(*map(lane, lines))
    return accepted


async def until_seen(looks: list[tuple[float, int]], position: int, watching: "asyncio.Task[None]") -> None:
    async with asyncio.timeout(VISIBLE_WITHIN_S):
        while not looks or looks[-1][1] < position:
            if watching.done():
                watching.result()
            await asyncio.sleep(LOOK_S)


def first_seen(recorded: Sequence[tuple[int, float]], looks: Sequence[tuple[float, int]]) -> list[float]:
    """For each event, the time from its record to the first look that showed it. Both ascend by position."""
    lags, later = [], iter(looks)
    at, reached = next(later)
    for position, since in recorded:
        while reached < position:
            at, reached = next(later)
        lags.append(at - since)
    return lags


async def opened(stack: AsyncExitStack, watched: Watched) -> tuple[Any, Any]:
    """Connections to the read tables and to the record."""
    connections: list[Any] = []
    for dsn in (watched.read_dsn, watched.write_dsn):
        connections.append(await asyncpg.connect(dsn))
        stack.push_async_callback(connections[-1].close)
    return connections[0], connections[1]
