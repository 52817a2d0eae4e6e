"""`daybook lag`: how far behind each read model is and how long each hop takes, live."""

import asyncio
import sys
from collections.abc import Iterable

import click
import httpx
import msgspec
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table

from common.config import Settings, read_running
from common.lag import ContextLag, LagAnswer, ModelLag, ProcessLag
from common.shell.durations import Quantiles
from gateway.cli.up import http_url

COLOURS = {
    "live": "green",
    "catching-up": "cyan",
    "rebuilding": "cyan",
    "stalled": "red",
    "red": "red",
    "late": "yellow",
    "dead": "bold red",
}
EVERY_S = 1.0
HOPS = {
    "accepted_to_decided": "decided",
    "decided_to_recorded": "recorded",
    "recorded_to_relayed": "relayed",
    "relayed_to_visible": "visible",
    "accepted_to_visible": "whole way",
}
"""What is shown of each hop: where it ends."""
NONE = Quantiles()


@click.command()
@click.option("--once", is_flag=True, help="Show it once, instead of until Ctrl-C.")
@click.option("--json", "plain", is_flag=True, help="Print the answer as JSON, once.")
@click.option(
    "--as", "principal", default="storefront", show_default=True, metavar="NAME", help="Whose API key to use."
)
def lag(once: bool, plain: bool, principal: str) -> None:
    """Show how far behind each read model is, live.

    Milliseconds are of the last minute, median and 99th percentile. Exit code 1 with --once or --json means that
    something is not alive.
    """
    settings = Settings.from_env()
    try:
        asyncio.run(_show(settings, principal, once or plain or not sys.stdout.isatty(), plain))
    except (httpx.HTTPError, msgspec.MsgspecError) as error:
        raise click.ClickException(f"no answer from the gateway: {error or type(error).__name__}") from None
    except KeyboardInterrupt:
        sys.exit(130)


async def _show(settings: Settings, principal: str, once: bool, plain: bool) -> None:
    running = read_running(settings.data)
    url = running.http_url if running else http_url(settings)
    headers = {"X-API-Key": settings.api_key(principal)}
    async with httpx.AsyncClient(base_url=url, headers=headers, timeout=5, trust_env=False) as http:
        found = await _asked(http)
        if once:
            if plain:
                click.echo(msgspec.json.encode(found))
            else:
                Console().print(view(found))
            sys.exit(0 if well(found) else 1)
        await _live(http, found)


async def _live(http: httpx.AsyncClient, found: LagAnswer) -> None:
    with Live(view(found), auto_refresh=False) as live:
        while True:
            live.update(view(found), refresh=True)
            await asyncio.sleep(EVERY_S)
            found = await _asked(http)


async def _asked(http: httpx.AsyncClient) -> LagAnswer:
    reply = await http.get("/consistency-lag")
    reply.raise_for_status()
    return msgspec.json.decode(reply.content, type=LagAnswer)


def well(found: LagAnswer) -> bool:
    """Whether all are alive."""
    states = {each.state for each in found.read_models} | {each.state for each in found.processes}
    return states <= {"live", "catching-up", "rebuilding"}


def view(found: LagAnswer) -> Group:
    """The tables, to be read at 100 columns."""
    return Group(models(found.read_models), "", way(found.read_models), "", parts(found.processes, found.contexts))


def models(lines: Iterable[ModelLag]) -> Table:
    table = _table(
        "read model", "context", "state", *("projected", "head", "events", "ms", "p50", "p99", "max"), right=3
    )
    for each in lines:
        numbers = (each.projected, each.head, each.events, each.ms, each.p50_ms, each.p99_ms, each.max_ms)
        table.add_row(each.title, each.context, coloured(each.state), *(number(value) for value in numbers))
        if each.error:
            table.add_row("", "", f"[red]{each.error[:60]}[/]")
    return table


def way(lines: Iterable[ModelLag]) -> Table:
    """Each hop of the way of a command, median and 99th percentile in milliseconds."""
    table = _table("way, p50 / p99 ms", "context", *HOPS.values(), right=2)
    for each in lines:
        if each.building:
            continue
        took = (each.hops.get(hop, NONE) for hop in HOPS)  # type: ignore[call-overload]
        table.add_row(each.model, each.context, *(f"{number(q.p50_ms)} / {number(q.p99_ms)}" for q in took))
    return table


def parts(processes: Iterable[ProcessLag], contexts: Iterable[ContextLag]) -> Table:
    table = _table(
        "part", "name", "state", "heard s ago", "behind ms", "clocks off by ms", "oldest snapshot ms", right=3
    )
    snapshots = {each.context: each.oldest_snapshot_ms for each in contexts}
    for each in processes:
        if each.kind == "projector":
            continue
        clocks = " ".join(number(clock.offset_ms) for clock in each.clocks)
        snapshot = number(snapshots.get(each.context)) if each.kind == "worker" else ""
        behind = "" if each.ms is None else number(each.ms)
        table.add_row(each.kind, each.title, coloured(each.state), number(each.heard_s), behind, clocks, snapshot)
        if each.error:
            table.add_row("", "", f"[red]{each.error[:60]}[/]")
    return table


def _table(*columns: str, right: int) -> Table:
    table = Table(box=None, padding=(0, 1), header_style="bold")
    for place, name in enumerate(columns):
        table.add_column(name, justify="right" if place >= right else "left", no_wrap=place < right)
    return table


def coloured(state: str) -> str:
    return f"[{COLOURS[state]}]{state}[/]"


def number(value: float | str | None) -> str:
    """A number in few characters; nobody knows `?`, and there is none `-`."""
    if value is None:
        return "-"
    if isinstance(value, str):
        return "[yellow]?[/]"
    return f"{value:,.1f}" if isinstance(value, float) and value < 1000 else f"{value:,.0f}"
