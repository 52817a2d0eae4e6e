"""pgbench: one-row INSERTs into our own events table, from 16 clients: what Postgres holds without any program of ours.

The events are those of real baskets, a script each. Positions come from a sequence, which spares the clients the wait
for the one row that gives Daybook's positions without gaps.
"""

import asyncio
import re
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg

from common.servers.postgres import postgres_programs
from common.store.migrate import migrate_schema
from tests.load.closed_loop import Run
from tests.load.measure import Load, Running
from tests.load.rivals.placing import place
from tests.load.rivals.system import Sample, System, counting, start_postgres, supervised

CLIENTS = 16
SCRIPTS = 100
"""pgbench takes at most 128."""
SEQUENCE = """
CREATE SEQUENCE IF NOT EXISTS "order".positions;
ALTER TABLE "order".events ALTER position SET DEFAULT nextval('"order".positions');
"""
INSERT = """\\set n random(1, 9000000000000000000)
INSERT INTO "order".events (stream, version, type, data, n, command_id, principal, correlation_id, causation_id,
    accepted_at, recorded_at)
VALUES ('order-' || :n, 1, 'OrderPlaced', :data_{number}, 0, 'command-' || :n, 'replay', 'command-' || :n, '',
    clock_timestamp(), clock_timestamp());
"""
DONE = re.compile(rb"transactions actually processed: (\d+)")
RATE = re.compile(rb"tps = ([\d.]+)")


@asynccontextmanager
async def running(data: Path, sample: Sample) -> AsyncIterator[Running]:
    async with supervised(data) as supervisor:
        address = await start_postgres(supervisor, data)
        await migrate_schema(address, "context", "order")
        connection: Any = await asyncpg.connect(address)
        await connection.execute(SEQUENCE)
        await connection.close()
        events = [place("", "order", body).data for body in sample.bodies[:SCRIPTS]]
        options = written(data, events)
        async with counting(address, 'SELECT count(*) FROM "order".events') as kept:
            yield Running(dict(supervisor.pids), {"pgbench_16": inserting(address, options)}, kept)


def written(folder: Path, events: Sequence[str]) -> list[str]:
    """The options that name a script for each event, and the event as the parameter of its statement."""
    options = []
    for number, event in enumerate(events):
        script = folder / f"insert-{number}.sql"
        script.write_text(INSERT.format(number=number))
        options += [f"--file={script}", f"--define=data_{number}={event}"]
    return options


def inserting(address: str, options: Sequence[str]) -> Load:
    async def load(seconds: float) -> Run:
        plan = ["-n", "-M", "prepared", "-c", str(CLIENTS), "-T", str(max(round(seconds), 1))]
        process = await asyncio.create_subprocess_exec(
            str(postgres_programs() / "pgbench"), *plan, *options, address,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        said, _ = await process.communicate()
        done, rate = DONE.search(said), RATE.search(said)
        if process.returncode or not done or not rate:
            raise RuntimeError(f"pgbench ended with {process.returncode}: {said.decode()}")
        return Run(int(done[1]) / float(rate[1]), {201: int(done[1])}, [])

    return load


PGBENCH = System(
    name="pgbench",
    paths={"pgbench_16": "pgbench, 16 clients"},
    differs="less: bare INSERTs in C into a copy of our events table; no receipt, no rules, no read table",
    run=running,
)
