"""`daybook follow`: what became of an order, in causal order, with the milliseconds of each hop, as it goes on."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Mapping
from contextlib import suppress
from typing import Any

import click
import msgspec
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from common import discovery
from common.client import Client
from common.messages import Query
from common.questions import NoAnswer, QueryRefused
from common.recorded import Receipt
from common.shell.timeline import Timeline, gather
from common.shell.traces import TracesAnswer
from common.shell.until import awaited_values
from gateway.cli.talk import as_json, asker, client_of, run_to_the_end
from gateway.cli.tree import shown
from gateway.cli.up import context_names

LOOK_AGAIN_S = 5.0
"""News of other contexts comes by the order's own state; what does not reach it is seen when one looks again."""


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
                live.update(await _look(client, context, stream), refresh=True)


async def _look(client: Client, context: str, stream: str) -> RenderableType:
    """What to show now; whoever follows stays when there is nothing yet, or no answer."""
    try:
        line = await _timeline(client, context, stream)
    except QueryRefused as refused:
        return Text(str(refused), style="yellow")
    return shown(line) if line else Text(f"There is no {context} {stream} yet.")


async def _timeline(client: Client, context: str, stream: str) -> Timeline | None:
    async def ask(name: str, fields: Mapping[str, Any]) -> TracesAnswer | None:
        try:
            return msgspec.convert(await client.ask_named(f"{name.capitalize()}Traces", fields), TracesAnswer)
        except NoAnswer:
            return None

    return await gather(ask, context_names(), context, stream)


async def _changes(client: Client, context: str, stream: str) -> AsyncGenerator[None, None]:
    """Now, and whenever there is news: another state, a receipt of one's own about it, or some seconds have passed."""
    query, news = waiting_query(context, stream), asyncio.Event()
    async with client.watch() as receipts:
        listening = asyncio.create_task(_note(receipts, context, stream, news))
        try:
            while True:
                news.clear()
                state = await _state(client, query) if query else None
                yield  # What changes from here on is another state than this one.
                asking = asyncio.create_task(_another(client, query, state, news))
                with suppress(TimeoutError):
                    await asyncio.wait_for(news.wait(), LOOK_AGAIN_S)
                asking.cancel()
        finally:
            listening.cancel()


async def _note(receipts: AsyncIterator[Receipt], context: str, stream: str, news: asyncio.Event) -> None:
    async for receipt in receipts:
        if (receipt.context, receipt.key) == (context, stream):
            news.set()


async def _another(client: Client, query: Query | None, state: str | None, news: asyncio.Event) -> None:
    """Says so when the state is another. What cannot be asked for now is asked for when one looks again."""
    if query and (others := awaited_values(type(query)) - {state}):
        with suppress(NoAnswer, QueryRefused):
            await client.ask(query, LOOK_AGAIN_S + 1, until=others)
            news.set()


async def _state(client: Client, query: Query) -> str | None:
    with suppress(NoAnswer, QueryRefused):
        state: str = (await client.ask(query))[type(query).awaits]
        return state
    return None


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
