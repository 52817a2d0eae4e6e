"""The systems that are compared, each on servers of its own, all on this machine."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
from msgspec import Struct

from common.config import PROJECT
from common.servers.files import data_folder, free_port
from common.servers.postgres import dsn, postgres_child
from common.servers.supervise import Child, Supervisor
from tests.load.monolith import PRINCIPAL
from tests.servers import System, running_system, temporary_data

KEY = "the-key-of-the-monolith"


class Daybook(Struct):
    """The whole of Daybook, as `daybook up` runs it."""

    system: System
    reads: Any

    @property
    def port(self) -> int:
        return self.system.settings.http_port

    @property
    def key(self) -> str:
        return self.system.settings.api_key(PRINCIPAL)

    @property
    def nats(self) -> tuple[str, str, str]:
        """URL, user and password."""
        settings = self.system.settings
        return settings.nats_url, PRINCIPAL, settings.password(PRINCIPAL)

    @property
    def pids(self) -> dict[str, int]:
        return self.system.pids

    async def rows(self) -> int:
        return int(await self.reads.fetchval("SELECT count(*) FROM read.orders"))

    async def progress(self) -> int:
        """The position that the read table has reached; an order placed is one event."""
        return int(
            await self.reads.fetchval(
                "SELECT position FROM read.checkpoints WHERE model = 'orders' AND context = 'order'"
            )
        )


class Monolith(Struct):
    """The monolith and its Postgres, as durable as Daybook's write server. What is accepted is visible."""

    port: int
    key: str
    pids: dict[str, int]
    database: Any

    async def rows(self) -> int:
        return int(await self.database.fetchval("SELECT count(*) FROM orders"))

    async def progress(self) -> int:
        return int(await self.database.fetchval("SELECT last_value * is_called::int FROM events_position_seq"))


@asynccontextmanager
async def both_systems() -> AsyncIterator[tuple[Daybook, Monolith]]:
    async with AsyncExitStack() as stack:
        monolith = await stack.enter_async_context(running_monolith(stack.enter_context(temporary_data())))
        system = await stack.enter_async_context(running_system(stack.enter_context(temporary_data())))
        reads = await asyncpg.connect(system.settings.read_dsn)
        stack.push_async_callback(reads.close)
        yield Daybook(system, reads), monolith


@asynccontextmanager
async def running_monolith(data: Path) -> AsyncIterator[Monolith]:
    with data_folder(data):
        supervisor = Supervisor(data / "logs", lambda line: print(line, file=sys.stderr))
        port, address = free_port(), dsn(data, database_port := free_port())
        try:
            await supervisor.start(await postgres_child(data, "write", database_port))
            await supervisor.start(
                Child(
                    "monolith",
                    [sys.executable, "-m", "tests.load.monolith", str(port)],
                    env=os.environ | {"MONOLITH_DSN": address, "MONOLITH_KEY": KEY, "PYTHONPATH": str(PROJECT)},
                    ready=lambda: listens(port),
                )
            )
            database = await asyncpg.connect(address)
            pids = {"monolith": supervisor.pids["monolith"], "monolith-postgres": supervisor.pids["postgres-write"]}
            yield Monolith(port, KEY, pids, database)
            await database.close()
        finally:
            await supervisor.stop()


async def listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True
