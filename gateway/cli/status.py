"""`daybook status`: which parts answer, and where a server is set less durable than it must be."""

import asyncio
import os
import sys
from urllib.parse import urlsplit

import asyncpg
import click
import httpx
import msgspec
import psutil
from rich.console import Console
from rich.table import Table

from common.config import Settings, read_running
from common.readmodel import live_name
from common.servers.nats import nats_answers
from gateway.cli.up import context_names, http_url

EXTERNAL_NATS = "DAYBOOK_NATS_URL: an external nats-server cannot be asked its sync_interval; it must be `always`"
BUILT = """SELECT n.model, n.version, sum(n.position)::bigint, coalesce(sum(l.position), 0)::bigint
    FROM read.checkpoints AS n
    LEFT JOIN read.checkpoints AS l ON l.model = split_part(n.model, '__', 1) AND l.context = n.context
    WHERE position('__' IN n.model) > 0 GROUP BY n.model, n.version ORDER BY n.model"""
LOST_WRITES = "a crash can lose what was acknowledged"
TORN_PAGES = "a crash can tear pages, which nothing replays"


class Part(msgspec.Struct, frozen=True):
    """One part of the system, and whether it answers."""

    name: str
    answers: bool
    detail: str


class Status(msgspec.Struct, frozen=True):
    """All parts, and a line for each setting that endangers what was acknowledged."""

    parts: list[Part]
    warnings: list[str]


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def status(as_json: bool) -> None:
    """Say which parts answer, and how durable the servers are set. Exit code 1 when a part does not answer."""
    found = asyncio.run(look(Settings.from_env()))
    if as_json:
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        _show(found)
    sys.exit(0 if all(part.answers for part in found.parts) else 1)


async def look(settings: Settings) -> Status:
    """Ask every part at once; each has two seconds."""
    async with asyncio.TaskGroup() as group:
        nats = group.create_task(_nats(settings))
        gateway = group.create_task(_gateway(settings))
        rebuilds = group.create_task(_rebuilds(settings))
        bases = [group.create_task(_postgres(*base)) for base in _databases(settings)]
    warnings = [line for base in bases for line in base.result()[1]]
    if os.environ.get("DAYBOOK_NATS_URL"):
        warnings.append(EXTERNAL_NATS)
    parts = [nats.result(), *(base.result()[0] for base in bases), gateway.result()]
    return Status([*parts, *_processes(settings), *rebuilds.result()], warnings)


def _databases(settings: Settings) -> list[tuple[str, str, str, bool]]:
    """Name, variable, DSN and whether it holds what was acknowledged, for each database there should be."""
    write = [("postgres-write", "DAYBOOK_WRITE_DSN", settings.default_write_dsn, True)]
    own = [
        (f"postgres-write {name}", f"DAYBOOK_WRITE_DSN_{name.upper()}", address, True)
        for name, address in settings.context_dsns.items()
    ]
    if not settings.default_write_dsn and own and set(context_names()) <= set(settings.context_dsns):
        write = []
    keys = [("postgres-keys", "DAYBOOK_KEYS_DSN", settings.own_keys_dsn, True)] if settings.own_keys_dsn else []
    return [*write, *own, *keys, ("postgres-read", "DAYBOOK_READ_DSN", settings.read_dsn, False)]


async def _postgres(name: str, variable: str, address: str, write: bool) -> tuple[Part, list[str]]:
    if not address:
        return Part(name, False, "not running"), []
    try:
        async with asyncio.timeout(2):
            connection = await asyncpg.connect(address, timeout=2)
            try:
                row = await connection.fetchrow(
                    "SELECT current_setting('server_version'), current_setting('fsync'),"
                    " current_setting('full_page_writes'), current_setting('synchronous_commit')"
                )
            finally:
                await connection.close(timeout=1)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        return Part(name, False, str(error) or "does not answer"), []
    version, fsync, full_pages, commit = row or ("", "", "", "")
    return Part(name, True, f"Postgres {version.split()[0]}"), weaknesses(variable, write, fsync, full_pages, commit)


async def _rebuilds(settings: Settings) -> list[Part]:
    """The tables that are built beside live ones, as far as the read database tells."""
    if not settings.read_dsn:
        return []
    try:
        async with asyncio.timeout(2):
            connection = await asyncpg.connect(settings.read_dsn, timeout=2)
            try:
                rows = await connection.fetch(BUILT)
            finally:
                await connection.close(timeout=1)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return []
    return [Part(f"rebuild {live_name(name)}", True, how_far(*rest)) for name, *rest in rows]


def how_far(version: int, here: int, live: int) -> str:
    return f"version {version}: {here:,} events, the live table {live:,}"


def weaknesses(variable: str, write: bool, fsync: str, full_pages: str, commit: str) -> list[str]:
    """A line for each setting of a Postgres server that is weaker than ours."""
    kept_whole = {"fsync": fsync, "full_page_writes": full_pages}
    lines = [f"{variable}: {name} is off; {TORN_PAGES}" for name, value in kept_whole.items() if value == "off"]
    if write and commit == "off":
        lines.append(f"{variable}: synchronous_commit is {commit}; {LOST_WRITES}")
    return lines


async def _nats(settings: Settings) -> Part:
    if not settings.nats_url:
        return Part("nats", False, "not running")
    address = urlsplit(settings.nats_url)
    answers = await nats_answers(address.hostname or "127.0.0.1", address.port or 4222)
    return Part("nats", answers, settings.nats_url if answers else "does not answer")


async def _gateway(settings: Settings) -> Part:
    running = read_running(settings.data)
    url = running.http_url if running else http_url(settings)
    try:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            code = (await client.get(f"{url}/readyz")).status_code
    except httpx.TransportError:
        return Part("gateway", False, "does not answer")
    return Part("gateway", code == 200, url if code == 200 else f"{url} is not ready")


def _processes(settings: Settings) -> list[Part]:
    """The worker and projector processes that `daybook up` keeps here."""
    running = read_running(settings.data)
    pids = running.pids if running else {}
    names = [name for name in pids if name == "projectors" or name.startswith("context-")]
    return [Part(name, _alive(pids[name]), f"process {pids[name]}") for name in names]


def _alive(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() not in (psutil.STATUS_ZOMBIE, psutil.STATUS_STOPPED)
    except psutil.Error:
        return False


def _show(found: Status) -> None:
    console, table = Console(), Table.grid(padding=(0, 2))
    for part in found.parts:
        table.add_row("[green]✓[/]" if part.answers else "[red]✗[/]", part.name, part.detail)
    console.print(table, highlight=False)
    for line in found.warnings:
        console.print(f"[yellow]warning[/] {line}", highlight=False)
