"""Connections to Postgres under one of our three roles."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from time import monotonic
from typing import Any, Literal

import asyncpg

from common.store.arrays import plain_arrays

# It tells, with a traceback each time, that it could not open a spare connection. Who needs one says so in a line.
logging.getLogger("asyncpg.pool").setLevel(logging.ERROR)

Role = Literal["owner", "writer", "reader"]

COMMAND_TIMEOUT_S = 15.0
RESTS_S = 60.0


async def open_pool(dsn: str, role: Role, size: int = 4, *, within_s: float = COMMAND_TIMEOUT_S) -> "asyncpg.Pool[Any]":
    """A pool whose connections have taken on the role. A statement that takes longer than `within_s` seconds fails.

    Raises asyncpg's and OS errors when the server is away.
    The writer's transactions end after 10 s: one that is stopped while it holds a context's head stops the context.
    """
    plain_arrays()
    return await asyncpg.create_pool(
        dsn,
        min_size=1,
        max_size=size,
        command_timeout=within_s,
        timeout=5,
        init=role_taker(role),
        reset=nothing,
        server_settings={
            "application_name": f"daybook {role}",
            "transaction_timeout": "10s",
            "idle_in_transaction_session_timeout": "10s",
            "jit": "off",
            # Both cores are busy answering others, and to start a helper costs more than most of our statements.
            "max_parallel_workers_per_gather": "0",
            # Plans are kept from when a table was still small; all that we ask has an index, which must be used.
            "enable_seqscan": "off",
            "enable_hashjoin": "off",
            "enable_mergejoin": "off",
            # To plan a query anew for each of its values costs as much as to answer it.
            **({"plan_cache_mode": "force_generic_plan"} if role == "reader" else {}),
        },
    )


class InTurn:
    """The connections of a pool, in the order in which they were asked for, and at hand once they are open.

    A pool gives a connection that comes back to who asks at that very moment; who had waited for it waits again, behind
    all others. With 32 askers and 8 connections the slowest of a hundred waited five times as long as most. And to take
    one from it and give it back took a sixth of the CPU of a query.
    """

    def __init__(self, pool: "asyncpg.Pool[Any]") -> None:
        self._pool, self._turns = pool, asyncio.Semaphore(pool.get_max_size())
        self._at_hand: list[tuple[Any, float]] = []  # With the monotonic time since when it is.

    @asynccontextmanager
    async def acquire(self, within_s: float) -> AsyncIterator[Any]:
        """A connection. Raises TimeoutError when none was free, or could be opened, within so many seconds."""
        await self._turn(within_s)
        try:
            connection = await self._open_one(within_s)
            try:
                yield connection
            except BaseException:  # It may be broken, or in the middle of something: the pool knows.
                await self._pool.release(connection, timeout=within_s)
                raise
            self._at_hand.append((connection, monotonic()))
        finally:
            self._turns.release()

    async def _turn(self, within_s: float) -> None:
        if not self._turns.locked():
            await self._turns.acquire()
            return
        async with asyncio.timeout(within_s):
            await self._turns.acquire()

    async def _open_one(self, within_s: float) -> Any:
        """One at hand, unless it was closed meanwhile or has rested for so long that a firewall may have forgotten it;
        else one from the pool."""
        while self._at_hand:
            connection, since = self._at_hand.pop()
            with suppress(asyncpg.InterfaceError):  # The pool has taken back what the server has closed.
                if not connection.is_closed() and monotonic() - since < RESTS_S:
                    return connection
                connection.terminate()
                await self._pool.release(connection, timeout=within_s)
        return await self._pool.acquire(timeout=within_s)

    def terminate(self) -> None:
        self._pool.terminate()


class RolesMissing(OSError):
    """The server is one that our roles were never made on: it has lost all it had, or is not ready yet."""


def role_taker(role: Role) -> Any:
    async def take_role(connection: Any) -> None:
        try:
            await connection.execute(f"SET ROLE daybook_{role}")
        except asyncpg.InvalidParameterValueError as error:
            raise RolesMissing(str(error)) from None

    return take_role


async def nothing(connection: Any) -> None:
    """Instead of asyncpg's reset, which costs a round trip each time and drops the role. We leave nothing behind."""
