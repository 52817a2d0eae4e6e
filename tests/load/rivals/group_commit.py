"""The honest rival: a monolith in which requests that are there together share one statement and one fsync.

    python -m tests.load.rivals.group_commit <port> <dsn> <key>

Written to win: the gateway's own doors in place of Litestar's handlers, a batch that is whatever arrived while the last
one was written, arrays in place of rows, 201 after the commit. It is run in as many processes as Daybook uses for the
same path. An order that Postgres refuses is found by writing its batch one by one, so its neighbours are not refused
with it. An `Idempotency-Key` is the command's id: a repeat gets the first answer, with another body 422.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from hashlib import sha256
from typing import Any

import asyncpg
from litestar import Litestar
from msgspec import Struct

from common.messages import Rejected
from gateway.commands_door import command_id_of, json_body
from gateway.doors import route
from gateway.http import JSON, Answer, Asked, Patience
from gateway.problems import Problem, refused_input
from tests.load.rivals.placing import PRINCIPAL, Placed, answer, place, pool
from tests.load.rivals.served import serve

IN_FLIGHT = 2
"""Batches that are written at the same time: while one waits for its fsync the next is on its way."""
MOST = 256
UNIQUE = "23505"
WRITE = f"""
WITH new AS MATERIALIZED (
    SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[])
        AS new(command_id, key, hash, at, data)
), receipt AS (
    INSERT INTO receipts
    SELECT '{PRINCIPAL}', command_id, hash, 'accepted', 'PlaceOrder', key, 1, at FROM new
), event AS (
    INSERT INTO events (stream, version, type, data, command_id, principal, recorded_at)
    SELECT key, 1, 'OrderPlaced', data, command_id, '{PRINCIPAL}', at FROM new
)
INSERT INTO orders SELECT * FROM unnest($6::text[], $7::text[], $8::text[], $9::text[], $10::text[], $11::text[],
    $12::bigint[], $13::bigint[], $14::jsonb[], $15::text[], $16::timestamptz[], $17::timestamptz[], $18::text[])
"""


class Waiting(Struct, eq=False):
    order: Placed
    written: asyncio.Future[None]


class Batches:
    """Writes what is there now, in as many batches at a time as there are connections."""

    def __init__(self, pool: Any) -> None:
        self._pool, self._free = pool, IN_FLIGHT
        self._waiting: list[Waiting] = []
        self._tasks: set[asyncio.Task[None]] = set()

    async def write(self, order: Placed) -> None:
        """Returns once the order is on the disk. Raises what Postgres says of this order alone."""
        waiting = Waiting(order, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._free:
            self._free -= 1
            task = asyncio.create_task(self._run())
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        await waiting.written

    async def _run(self) -> None:
        """Batch after batch while orders wait. The first step waits for all that the loop has read already."""
        while self._waiting:
            batch, self._waiting = self._waiting[:MOST], self._waiting[MOST:]
            await self._settle(batch)
        self._free += 1

    async def _settle(self, batch: Sequence[Waiting]) -> None:
        try:
            await self._pool.execute(WRITE, *columns([each.order for each in batch]))
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
            if len(batch) == 1 or not isinstance(error, asyncpg.PostgresError):
                fail(batch, error)
            else:
                for each in batch:
                    await self._settle([each])
        else:
            for each in batch:
                if not each.written.done():  # Its caller may have hung up.
                    each.written.set_result(None)


def fail(batch: Sequence[Waiting], error: Exception) -> None:
    for each in batch:
        if not each.written.done():
            each.written.set_exception(error)


def columns(orders: Sequence[Placed]) -> list[Any]:
    own = zip(*((o.command_id, o.order_id, o.hash, o.at, o.data) for o in orders), strict=True)
    return [*own, *zip(*(order.row for order in orders), strict=True)]


class PlaceDoor:
    """Takes orders in, with the verdicts of Daybook's own door."""

    def __init__(self, key: str) -> None:
        self._authorization, self._patience = f"Bearer {key}".encode(), Patience()
        self._pool: Any = None

    @asynccontextmanager
    async def running(self, dsn: str) -> AsyncIterator[None]:
        clock = asyncio.create_task(self._patience.run())
        async with pool(dsn, IN_FLIGHT) as self._pool:
            self._batches = Batches(self._pool)
            yield
        clock.cancel()

    async def __call__(self, asked: Asked) -> Answer:
        if asked.headers.get(b"authorization") != self._authorization:
            raise Problem(401, "unknown-key", "this API key is not known")
        command_id, keyed = command_id_of(asked)
        body = await json_body(asked, self._patience)
        order_id = sha256(command_id.encode()).hexdigest()[:32] if keyed else os.urandom(16).hex()
        try:
            order = place(command_id, order_id, body)
        except Rejected as rejected:
            raise refused_input(rejected) from None
        try:
            await self._batches.write(order)
        except asyncpg.UniqueViolationError:
            await self._same(order)
        location = (b"location", f"/orders/{order_id}".encode())
        return Answer(201, answer(order_id, command_id), (JSON, location))

    async def _same(self, order: Placed) -> None:
        """Raises a 422 problem unless the id has come before with this very body."""
        told = "SELECT hash FROM receipts WHERE (principal, command_id) = ($1, $2)"
        if await self._pool.fetchval(told, PRINCIPAL, order.command_id) != order.hash:
            raise Problem(422, "command-id-used", "this id already belongs to another order")


def application(dsn: str, key: str) -> Litestar:
    door = PlaceDoor(key)

    @asynccontextmanager
    async def running(app: Litestar) -> AsyncIterator[None]:
        async with door.running(dsn):
            yield

    return Litestar([route("POST", "/orders", door)], lifespan=[running], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    serve(application(*sys.argv[2:]), int(sys.argv[1]))
