"""A worker stands still past its lease: another takes over, and what the first then still wants to write is void."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import asyncpg
import msgspec
import pytest_asyncio
from nats.aio.msg import Msg

from common.bus.connect import connect
from common.config import PROJECT
from common.servers.embedded import child_environment
from common.shell.feed import partitions
from tests.integration.conftest import ALONE
from tests.integration.invariants import all_violations
from tests.integration.ordering import PRINCIPAL, Shop, ask, key_of
from tests.servers import System, running_system, temporary_data, until

TTL_MS = "2000"
OURS = len(partitions())
OWNED = """SELECT count(*) = cardinality($2::text[]) FROM "order".leases WHERE name = ANY($2) AND owner LIKE $1"""
# A customer's key is made, and an attempt to decide after an unclean takeover is marked, before anything is appended.
PASSAGE = """
    CREATE OR REPLACE FUNCTION passage() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock_shared(1); RETURN NEW; END';
    CREATE OR REPLACE TRIGGER passage BEFORE INSERT ON keys.personal_keys FOR EACH ROW EXECUTE FUNCTION passage();
    CREATE OR REPLACE TRIGGER passage BEFORE UPDATE ON "order".leases FOR EACH ROW
        WHEN (NEW.attempting IS NOT NULL) EXECUTE FUNCTION passage()"""
WAITING = "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND NOT granted)"
SETTLED = 'SELECT (SELECT count(*) FROM "order".receipts) + (SELECT count(*) FROM "order".events)'


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    with temporary_data() as folder:
        async with running_system(folder, options=ALONE, DAYBOOK_LEASE_TTL_MS=TTL_MS) as found:
            yield found


@asynccontextmanager
async def second_worker(system: System) -> AsyncIterator[asyncio.subprocess.Process]:
    """Another process of the context order, as somebody would start it on another machine."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    env = clean | child_environment(system.settings) | {"PYTHONPATH": str(PROJECT), "DAYBOOK_LEASE_TTL_MS": TTL_MS}
    with (system.settings.data / "logs" / "second.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "contexts", "order", *ALONE, env=env, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()


class Beats:
    """How many partitions each process of order says it holds, by process id."""

    def __init__(self) -> None:
        self.partitions: dict[int, int] = {}

    async def hear(self, message: Msg) -> None:
        said: dict[str, Any] = msgspec.json.decode(message.data)
        self.partitions[said["pid"]] = said["partitions"]


@asynccontextmanager
async def beats_of(system: System) -> AsyncIterator[Beats]:
    beats, nc = Beats(), await connect(system.settings, "admin")
    await nc.subscribe("beat.worker.order", cb=beats.hear)
    try:
        yield beats
    finally:
        await nc.close()


@asynccontextmanager
async def nobody_passes(dsn: str) -> AsyncIterator[None]:
    """Whoever makes a key or marks an attempt waits until the block ends; it begins when nobody is doing so."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(PASSAGE)
        await connection.execute("SELECT pg_advisory_lock(1)")
        yield
    finally:
        await connection.close()


async def yes(dsn: str, sql: str, *values: object) -> bool:
    return bool(await ask(dsn, sql, *values))


async def test_a_worker_stopped_past_its_lease_writes_neither_events_nor_receipts(system: System) -> None:
    """Each is stopped where it has its batch and its epochs in hand and has not appended yet."""
    shop, dsn = Shop(system), system.settings.write_dsn("order")
    log = system.settings.data / "logs" / "context-order.log"
    first, stalled = system.pids["context-order"], [f"stalled-{n}" for n in range(200)]
    async with second_worker(system) as second, beats_of(system) as beats:
        await until(lambda: beats.partitions == {first: OURS, second.pid: 0}, what="both workers to beat")
        second.send_signal(signal.SIGSTOP)
        async with nobody_passes(dsn):
            await shop.place(stalled)
            await until(lambda: yes(dsn, WAITING), what="the first worker to wait on its way")
            os.kill(first, signal.SIGSTOP)
        try:  # The database gives the first worker what it waits for, and nobody is there to take it.
            async with nobody_passes(dsn):
                second.send_signal(signal.SIGCONT)
                await until(lambda: beats.partitions[second.pid] == OURS, what="the second worker to take over")
                await until(lambda: yes(dsn, WAITING), what="the second worker to wait on its way")
                os.kill(first, signal.SIGCONT)
                await until(lambda: "another worker holds" in log.read_text(), what="the first worker's late append")
                assert await ask(dsn, SETTLED) == 0
                await until(lambda: beats.partitions[first] == 0, what="the first worker to know")
        finally:
            os.kill(first, signal.SIGCONT)
        await shop.settled()
        await shop.place(f"second-{n}" for n in range(200))
        await shop.settled()
        second.terminate()
        assert await second.wait() == 0
    await until(lambda: yes(dsn, OWNED, f"%-{first}", partitions()), what="the first worker to take over again")
    await shop.place(f"third-{n}" for n in range(200))
    # Of what the second worker has decided meanwhile, the first remembers nothing wrong.
    for command_id in (stalled[0], "second-0"):
        reply = await shop.http.post(
            f"/orders/{key_of(command_id)}/cancel", b'{"reason":"late"}', "Prefer: wait=20\r\n"
        )
        assert (reply.status, msgspec.json.decode(reply.body)["version"]) == (200, 2)
    await shop.settled()
    assert system.pids["context-order"] == first
    assert shop.surprises == []
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []
