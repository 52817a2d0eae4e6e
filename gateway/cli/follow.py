"""`daybook follow`: what became of an order, in causal order, with the milliseconds of each hop, as it goes on."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import click
import msgspec
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text
from rich.tree import Tree

from common import discovery
from common.client import Client
from common.messages import Query
from common.questions import NoAnswer, QueryRefused
from common.shell.timeline import Timeline, TimelineCommand, TimelineEvent, gather
from common.shell.traces import TracesAnswer
from common.shell.until import awaited_values
from gateway.cli.talk import COLOURS, as_json, asker, client_of, run_to_the_end
from gateway.cli.up import context_names

WAIT_S = 25.0
AGAIN_S = 1.0


@click.command()
@click.argument("stream", metavar="ORDER")
@click.option("--context", default="order", show_default=True, help="Follow a stream of another context.")
@click.option("--once", is_flag=True, help="Print what is known now and stop.")
@asker
@as_json
def follow(stream: str, context: str, once: bool, principal: str, plain: bool) -> None:
    """Show every command and event of an order across contexts, and go on until Ctrl-C.

    \b
    daybook follow 4711 --once
    """
    run_to_the_end(_follow(stream, context, once or plain, principal, plain))


async def _follow(stream: str, context: str, once: bool, principal: str, plain: bool) -> None:
    if context not in context_names():
        raise click.ClickException(f"there is no context named {context}; there are {', '.join(context_names())}")
    async with client_of(principal) as client:
        if once:
            _print(await _timeline(client, context, stream), plain, f"{context} {stream}")
            return
        with Live(console=Console(), auto_refresh=False) as live:
            async for _ in _changes(client, context, stream):
                line = await _timeline(client, context, stream)
                live.update(shown(line) if line else Text(f"There is no {context} {stream} yet."), refresh=True)


async def _timeline(client: Client, context: str, stream: str) -> Timeline | None:
    async def ask(name: str, fields: Mapping[str, Any]) -> TracesAnswer | None:
        try:
            return msgspec.convert(await client.ask_named(f"{name.capitalize()}Traces", fields), TracesAnswer)
        except NoAnswer:
            return None

    return await gather(ask, context_names(), context, stream)


async def _changes(client: Client, context: str, stream: str) -> AsyncIterator[None]:
    """Now, and whenever the stream's state is another; without a query that waits for that, now and then."""
    query = waiting_query(context, stream)
    while True:
        yield
        try:
            if query:
                await client.ask(query, WAIT_S, until=awaited_values(type(query)) - {await _state(client, query)})
            else:
                await asyncio.sleep(AGAIN_S)
        except NoAnswer:
            await asyncio.sleep(AGAIN_S)
        except QueryRefused as refused:
            if refused.status != 503:
                raise


async def _state(client: Client, query: Query) -> str | None:
    try:
        state: str = (await client.ask(query))[type(query).awaits]
    except QueryRefused as refused:
        if refused.status != 404:
            raise
        return None
    return state


def waiting_query(context: str, stream: str) -> Query | None:
    """A query about this stream that can wait for a state."""
    kinds = discovery.query_models(discovery.read_models().values())
    return next((kind(stream) for kind in kinds if kind.awaits and kind.stream == context), None)


def _print(line: Timeline | None, plain: bool, name: str) -> None:
    if line is None:
        raise click.ClickException(f"there is nothing named {name}")
    if plain:
        click.echo(msgspec.json.encode(line))
    else:
        Console().print(shown(line))


def shown(line: Timeline) -> RenderableType:
    """The timeline as a tree for a terminal."""
    total = f"  {line.total_ms:,.1f} ms from first to last" if line.total_ms is not None else ""
    tree = Tree(Text.assemble((f"{line.context} {line.stream}", "bold"), (total, "dim")), guide_style="dim")
    for command in line.commands:
        _add_command(tree, command)
    if line.missing:
        tree.add(Text(f"did not answer: {', '.join(line.missing)}", style="yellow"))
    if line.cut:
        tree.add(Text("there is more than is shown", style="yellow"))
    return tree


def _add_command(tree: Tree, command: TimelineCommand) -> None:
    waited = f"+{command.waited_ms:,.1f} ms  " if command.waited_ms is not None else ""
    took = f"  {command.decided_ms:,.1f} ms" if command.decided_ms is not None else ""
    branch = tree.add(
        Text.assemble(
            (waited, "cyan"),
            (command.type, "bold"),
            f" {command.context} {command.key} by {command.principal}  ",
            (command.state + (f" {command.code}" if command.code else ""), COLOURS[command.state]),
            (took, "cyan"),
        )
    )
    for event in command.events:
        _add_event(branch, event)


def _add_event(tree: Tree, event: TimelineEvent) -> None:
    at = event.recorded_at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    branch = tree.add(Text.assemble((event.type, "green"), (f" {event.stream} {event.version}  {at}", "dim")))
    for command in event.caused:
        _add_command(branch, command)
