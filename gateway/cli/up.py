"""`daybook up`: the whole system on one machine, supervised, until Ctrl-C."""

import asyncio
import itertools
import os
import pkgutil
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Iterator

import click
import httpx
from rich.console import Console
from rich.panel import Panel
from rich.table import Table

from common.config import PROJECT, Running, Settings
from common.principals import Credentials, ensure_principals
from common.servers.embedded import child_environment, nats_address, require_nats_port, start_servers
from common.servers.files import CannotStart, data_folder, forget_running, free_port, require_free_port, write_running
from common.servers.staging import stage_in_memory, unstage
from common.servers.supervise import Child, Supervisor, at_once

DOCS = "/docs"
SHOWN = ("storefront", "operator")
METRICS_PORT = "DAYBOOK_METRICS_PORT"


def context_names() -> list[str]:
    """The contexts there are: the packages in `contexts`, by name."""
    return sorted(
        found.name
        for found in pkgutil.iter_modules([str(PROJECT / "contexts")])
        if found.ispkg and found.name[0] != "_"
    )


@click.command()
@click.option("--play", default=0, type=click.IntRange(min=0), metavar="N", help="Then play the first N real baskets.")
@click.option("--without-reactions", is_flag=True, help="Contexts only decide: to measure the taking of orders alone.")
def up(play: int, without_reactions: bool) -> None:
    """Start everything on this machine and stay until Ctrl-C.

    Two Postgres servers and a nats-server run from the data folder, unless DAYBOOK_NATS_URL, DAYBOOK_WRITE_DSN or
    DAYBOOK_READ_DSN name others; then the gateway, one process for each context, and the projectors.
    """
    settings = Settings.from_env(running=False)
    with data_folder(settings.data):
        # In a file, lines that hold an address or a path are not broken at 80 characters.
        asyncio.run(
            _until_stopped(settings, play, Console(width=None if sys.stdout.isatty() else 160), without_reactions)
        )


async def _until_stopped(settings: Settings, play: int, console: Console, without_reactions: bool) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    system = _System(settings, console, ["--without-reactions"] if without_reactions else [])
    work = asyncio.create_task(system.run(play))
    stopped = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait((work, stopped), return_when=asyncio.FIRST_COMPLETED)
        if work.done():
            _reraise(work)
            await stopped
        work.cancel()
        await asyncio.wait((work,))  # Its progress bar ends before anything else is said.
        console.print("\nStopping ...")
    finally:
        for task in (work, stopped):
            task.cancel()
        await asyncio.gather(work, stopped, return_exceptions=True)
        await system.supervisor.stop()
        unstage(settings.data)
        forget_running(settings.data)
    console.print("Stopped.")


def _reraise(work: asyncio.Task[None]) -> None:
    """Raise what went wrong; several servers that cannot start are one trouble to the reader, the first."""
    try:
        work.result()
    except* CannotStart as group:
        raise group.exceptions[0] from None


class _System:
    """What one `daybook up` runs."""

    def __init__(self, settings: Settings, console: Console, to_contexts: list[str]) -> None:
        self.settings, self.console, self._to_contexts = settings, console, to_contexts
        self.supervisor = Supervisor(settings.data / "logs", self._say, self._changed)

    async def run(self, play: int) -> None:
        begun, contexts = time.monotonic(), context_names()
        require_free_port(self.settings.http_host, self.settings.http_port, "DAYBOOK_HTTP_PORT")
        require_nats_port(self.settings)
        credentials = ensure_principals(self.settings, contexts)
        self.console.print(_welcome(self.settings, credentials))
        with self.console.status("Starting"):
            from common.provision import in_batches, nats_users, one_line, provision

            with one_line():
                users = nats_users(self.settings, credentials)
                self.settings = await start_servers(self.supervisor, self.settings, users, contexts)
                await provision(self.settings)
                stage_in_memory(self.settings.data, *in_batches())
            for child in self._parts(contexts):
                await self.supervisor.start(child)
            self._changed()
        self.console.print(f"Ready after {time.monotonic() - begun:.1f} s. Ctrl-C stops everything.")
        if play:
            from gateway.cli.replay import in_words
            from gateway.cli.replay import play as play_baskets

            played = await play_baskets(self.settings, play, "http", self.console)
            if differences := in_words(played.found):
                self.console.print(differences, style="bold red", highlight=False, markup=False)
            self.console.print(f"Up until Ctrl-C: {http_url(self.settings)}{DOCS}", highlight=False)

    def _parts(self, contexts: list[str]) -> list[Child]:
        env = os.environ | child_environment(self.settings) | {"PYTHONPATH": str(PROJECT), "PYTHONUNBUFFERED": "1"}

        def part(name: str, *words: str, ready: Callable[[], Awaitable[bool]] = at_once, beside: bool = False) -> Child:
            argv = [sys.executable, "-m", *words]
            return Child(name, argv, env=env | {METRICS_PORT: next(ports)}, ready=ready, beside=beside)

        ports = metrics_ports(self.settings.metrics_port)
        workers = [
            part(f"context-{name}", "contexts", name, *self._to_contexts, beside=name != contexts[0])
            for name in contexts
        ]
        projectors = part("projectors", "projectors", beside=True)
        return [*workers, projectors, part("gateway", "gateway", ready=self._answers)]

    async def _answers(self) -> bool:
        async with httpx.AsyncClient(timeout=2, trust_env=False) as client:
            try:
                return (await client.get(f"{http_url(self.settings)}/readyz")).status_code == 200
            except httpx.TransportError:
                return False

    def _say(self, line: str) -> None:
        self.console.print(f"{time.strftime('%H:%M:%S')} {line}", style="yellow", highlight=False, markup=False)

    def _changed(self) -> None:
        running = Running(
            supervisor=os.getpid(),
            http_url=http_url(self.settings),
            nats_url=self.settings.nats_url,
            write_dsn=self.settings.default_write_dsn,
            read_dsn=self.settings.read_dsn,
            pids=dict(self.supervisor.pids),
        )
        write_running(self.settings.data, running)


def metrics_ports(first: int) -> Iterator[str]:
    """A port for the metrics of each process: from the first one upwards, or free ones when that is 0."""
    return (str(first + n if first else free_port()) for n in itertools.count())


def http_url(settings: Settings) -> str:
    """Where the gateway is reached from this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.http_host, settings.http_host)
    return f"http://{host}:{settings.http_port}"


def _welcome(settings: Settings, credentials: Credentials) -> Panel:
    table = Table.grid(padding=(0, 2))
    table.add_row("HTTP", f"{http_url(settings)}")
    table.add_row("API pages", f"{http_url(settings)}{DOCS}")
    table.add_row("NATS", nats_address(settings))
    table.add_row("data", str(settings.data))
    table.add_row("logs", str(settings.data / "logs"))
    for name in SHOWN:
        if name in credentials.api_keys:
            table.add_row("", "")
            table.add_row(f"[bold]{name}[/]", f"API key        {credentials.api_keys[name]}")
            table.add_row("", f"NATS password  {credentials.nats[name]}")
    return Panel(table, title="Daybook", expand=False)
