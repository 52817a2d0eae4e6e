"""What the bench runs: Daybook or a rival, on servers of its own in a folder of its own."""

import os
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

import asyncpg
import psutil
from msgspec import Struct

from common.client import body_of
from common.config import PROJECT
from common.servers.files import data_folder, free_port
from common.servers.postgres import dsn, postgres_child
from common.servers.supervise import Child, Supervisor
from contexts.order.commands import PlaceOrder
from tests.load.measure import Count, Running

POSTGRES = "postgres"


class Sample(Struct, frozen=True):
    """The orders that all of them are sent, and their bodies."""

    orders: Sequence[PlaceOrder]
    bodies: Sequence[bytes]

    @classmethod
    def of(cls, orders: Sequence[PlaceOrder]) -> "Sample":
        return cls(orders, [body_of(order) for order in orders])


class System(Struct, frozen=True):
    """A system that is measured: the paths into it, and how to run it on a folder, the same one each time."""

    name: str
    paths: Mapping[str, str]
    """What each path is called in the table, by its name in the JSON."""
    differs: str
    """What it does less or more than Daybook."""
    run: Callable[[Path, Sample], AbstractAsyncContextManager[Running]]
    absent: Callable[[], str] = lambda: ""
    """Why it cannot run here, if it cannot; installs what it needs."""


@asynccontextmanager
async def supervised(data: Path) -> AsyncIterator[Supervisor]:
    """A supervisor on a folder, whose processes end with the block."""
    with data_folder(data):
        supervisor = Supervisor(data / "logs", lambda line: print(f"{data.name}: {line}", file=sys.stderr))
        try:
            yield supervisor
        finally:
            await supervisor.stop()


async def start_postgres(supervisor: Supervisor, data: Path) -> str:
    """Starts a Postgres of its own, with the settings of Daybook's write server; its DSN."""
    await supervisor.start(await postgres_child(data, "write", port := free_port()))
    supervisor.pids[POSTGRES] = supervisor.pids.pop("postgres-write")
    return dsn(data, port)


async def start_servers(
    supervisor: Supervisor, name: str, module: str, port: int, *arguments: str, processes: int = 1
) -> None:
    """Starts HTTP servers of ours that share a port, and waits until each of them listens."""
    for number in range(processes):
        each = name if processes == 1 else f"{name}-{number + 1}"
        argv = [sys.executable, "-m", module, str(port), *arguments]
        env = os.environ | {"PYTHONPATH": str(PROJECT)}
        await supervisor.start(Child(each, argv, env=env, ready=partial(listens, supervisor, each)))


async def listens(supervisor: Supervisor, name: str) -> bool:
    """Whether this very process does: others may listen on the same port."""
    connections = psutil.Process(supervisor.pids[name]).net_connections("tcp")
    return any(connection.status == psutil.CONN_LISTEN for connection in connections)


@asynccontextmanager
async def counting(address: str, statement: str) -> AsyncIterator[Count]:
    """Counts by a statement, on a connection that is not measured."""
    connection: Any = await asyncpg.connect(address)

    async def count() -> int:
        return int(await connection.fetchval(statement))

    try:
        yield count
    finally:
        await connection.close()
