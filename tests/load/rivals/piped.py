"""The rivals that are libraries: a program of theirs places the orders, and is told by its input when and how many."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from common.config import PROJECT
from tests.load.closed_loop import Run
from tests.load.measure import Load, Running
from tests.load.rivals.installed import NODE, PYTHON, node_packages, python_packages
from tests.load.rivals.system import Sample, System, counting, start_postgres, supervised

EVENTSOURCING_THREADS, EMMETT_APPENDS = (1, 8), (1, 16)
LESS = "less: one event an order; no HTTP, no receipt, no read table, nothing sealed"


@asynccontextmanager
async def library(
    name: str,
    argv: Sequence[str],
    variables: Mapping[str, str],
    table: str,
    at_once: Sequence[int],
    data: Path,
    sample: Sample,
) -> AsyncIterator[Running]:
    """A library's program with its Postgres. `variables` name the part of the address that each of them holds."""
    async with supervised(data) as supervisor:
        dsn = await start_postgres(supervisor, data)
        bodies = data / "bodies"
        bodies.write_bytes(b"\n".join(sample.bodies))
        env = os.environ | environment(variables, data, dsn)
        program = started([*argv, str(bodies)], env, data / "logs" / f"{name}.log")
        try:
            await asyncio.to_thread(said, program)
            async with counting(dsn, f"SELECT count(*) FROM {table}") as kept:
                loads = {f"{name}_{number}": placing(program, number) for number in at_once}
                yield Running(supervisor.pids | {name: program.pid}, loads, kept)
        finally:
            await asyncio.to_thread(program.communicate)  # The end of its input is the end of it.


def started(argv: Sequence[str], env: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """A process with blocking pipes: each load runs in an event loop of its own."""
    with log.open("ab") as errors:
        return subprocess.Popen(argv, env=env, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors)


def environment(variables: Mapping[str, str], data: Path, dsn: str) -> dict[str, str]:
    """Libraries know no file of passwords; the password is one of a throw-away folder."""
    parts = urlsplit(dsn)
    address = {
        "host": str(parts.hostname),
        "port": str(parts.port),
        "user": str(parts.username),
        "password": (data / "pgpass").read_text().strip().rpartition(":")[2],
        "database": parts.path.strip("/"),
    }
    packages = {"PYTHONPATH": os.pathsep.join([str(PROJECT), str(PYTHON)])}
    return packages | {variable: address[part] for variable, part in variables.items()}


def placing(program: subprocess.Popen[bytes], number: int) -> Load:
    def asked(seconds: float) -> Run:
        assert program.stdin
        program.stdin.write(f"{number} {seconds}\n".encode())
        program.stdin.flush()
        return msgspec.json.decode(said(program), type=Run)

    async def load(seconds: float) -> Run:
        return await asyncio.to_thread(asked, seconds)

    return load


def said(program: subprocess.Popen[bytes]) -> bytes:
    """The next line that the program says. Raises `RuntimeError` when it has ended instead."""
    assert program.stdout
    if not (line := program.stdout.readline()):
        raise RuntimeError(f"{program.args!r} ended with {program.wait()}; its log says why")
    return line


def variables(prefix: str, database: str) -> dict[str, str]:
    return {prefix + part.upper(): part for part in ("host", "port", "user", "password")} | {database: "database"}


EVENTSOURCING = System(
    name="eventsourcing",
    paths={f"eventsourcing_{n}": f"eventsourcing, {n} thread{'s' * (n > 1)}" for n in EVENTSOURCING_THREADS},
    differs=LESS,
    run=partial(
        library,
        "eventsourcing",
        [sys.executable, "-m", "tests.load.rivals.eventsourcing"],
        variables("POSTGRES_", "POSTGRES_DBNAME"),
        "shop_events",
        EVENTSOURCING_THREADS,
    ),
    absent=python_packages,
)
EMMETT = System(
    name="emmett",
    paths={f"emmett_{n}": f"Emmett (Node), {n} append{'s' * (n > 1)} at a time" for n in EMMETT_APPENDS},
    differs=LESS,
    run=partial(
        library,
        "emmett",
        ["node", str(NODE / "emmett.mjs")],
        variables("PG", "PGDATABASE"),
        "emt_messages",
        EMMETT_APPENDS,
    ),
    absent=node_packages,
)
