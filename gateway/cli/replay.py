"""`daybook replay`: a grocer's real baskets as orders, then the proof that the read table equals the file."""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from common.bus.outgoing import OutcomeUnknown, StreamFull
from common.client import body_of, connect
from common.config import Settings
from gateway.cli.baskets import Basket, Baskets
from gateway.cli.keepalive import KeepAlive, Reply
from gateway.cli.played import Played, Tables, show
from gateway.cli.up import http_url

PRINCIPAL = "replay"
CONCURRENT = {"http": 64, "nats": 256}
PATIENCE_S = 60.0
"""How long nothing may move before we give up."""
POLL_S = 0.1
AGAIN = (429, 503, 504)

Send = Callable[[Basket], Awaitable[None]]

VISIBLE = "SELECT order_id FROM read.orders WHERE order_id = ANY($1)"
READ_SUMS = """SELECT count(*), coalesce(sum(total), 0)::bigint, coalesce(sum(units), 0)::bigint,
    coalesce(sum(jsonb_array_length(lines)), 0)::bigint FROM read.orders WHERE order_id = ANY($1)"""


@click.command()
@click.option("--baskets", default=1000, show_default=True, type=click.IntRange(1), metavar="N", help="The first N.")
@click.option("--via", default="http", show_default=True, type=click.Choice(("http", "nats")), help="Which door.")
@click.option("--rate", default=0.0, metavar="R", help="At most so many orders a second; 0 is as fast as it goes.")
@click.option("--json", "plain", is_flag=True, help="Print the result as JSON.")
def replay(baskets: int, via: str, rate: float, plain: bool) -> None:
    """Play real baskets of a grocer's year through the system and compare the read table with the file, to the cent.

    Playing them again sends only what is not visible yet, and nothing is ordered twice.
    """
    console = Console(stderr=plain)
    played = asyncio.run(play(Settings.from_env(), baskets, via, console, rate=rate))
    if plain:
        click.echo(msgspec.json.encode(played))


async def play(settings: Settings, baskets: int, via: str, console: Console, *, rate: float = 0.0) -> Played:
    """Play the first baskets and print what happened. Raises `click.ClickException` when the sums differ."""
    if not settings.read_dsn:
        raise click.ClickException(
            "nothing runs on this data folder, and DAYBOOK_READ_DSN is not set: start `daybook up`"
        )
    try:
        with Baskets(baskets) as chosen:
            played = await _play(settings, chosen, via, console, rate)
    except (OSError, asyncpg.PostgresError) as error:
        raise click.ClickException(f"the replay stopped: {error or type(error).__name__}") from None
    show(played, console)
    if played.differences:
        raise click.ClickException(f"the read table and the file differ in {', '.join(played.differences)}")
    return played


async def _play(settings: Settings, chosen: Baskets, via: str, console: Console, rate: float) -> Played:
    reads = await asyncpg.connect(settings.read_dsn, timeout=5)
    http = KeepAlive(http_url(settings), settings.api_key(PRINCIPAL))
    try:
        ids = chosen.order_ids()
        there = await _visible(reads, ids)
        begun = time.monotonic()
        with _progress(console) as bars:
            stored = bars.add_task("stored", total=len(ids), completed=len(there))
            async with _sender(settings, via, http) as send:
                await _send_all((b for b in chosen if b.order.order_id not in there), send, via, rate, bars, stored)
            all_stored = time.monotonic()
            await _all_visible(reads, http, ids, bars)
        all_visible = time.monotonic()
        sent = len(ids) - len(there)
        p50, p99 = await _latency(http) if sent else (None, None)
        row: Any = await reads.fetchrow(READ_SUMS, ids)
        rates = [round(sent / (end - begun), 1) if sent else None for end in (all_stored, all_visible)]
        return Played(sent, len(there), rates[0], rates[1], p50, p99, Tables(*row), chosen.sums())
    finally:
        http.close()
        await reads.close()


async def _visible(reads: Any, ids: Sequence[str]) -> set[str]:
    return {row[0] for row in await reads.fetch(VISIBLE, ids)}


async def _send_all(baskets: Iterator[Basket], send: Send, via: str, rate: float, bars: Progress, task: TaskID) -> None:
    """Sends from one iterator by many at a time, at most `rate` a second in all."""
    begun, number = time.monotonic(), 0

    async def some() -> None:
        nonlocal number
        for basket in baskets:
            number += 1
            if rate and (early := begun + number / rate - time.monotonic()) > 0:
                await asyncio.sleep(early)
            await _insist(basket, send)
            bars.advance(task)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(CONCURRENT[via]):
                group.create_task(some())
    except* click.ClickException as troubles:
        raise troubles.exceptions[0] from None


async def _insist(basket: Basket, send: Send) -> None:
    """Sends until it is known to be stored: the command's id makes repeating harmless."""
    deadline, pause = time.monotonic() + PATIENCE_S, 0.1
    while True:
        try:
            return await send(basket)
        except (OSError, OutcomeUnknown, StreamFull, NotNow) as error:
            if time.monotonic() > deadline:
                raise click.ClickException(f"nothing is taken for {PATIENCE_S:.0f} s: {error}") from None
        await asyncio.sleep(pause)
        pause = min(2 * pause, 2.0)


class NotNow(Exception):
    """The gateway asks to come again later."""


@asynccontextmanager
async def _sender(settings: Settings, via: str, http: KeepAlive) -> AsyncIterator[Send]:
    """How to send a basket by the chosen door."""
    if via == "http":

        async def post(basket: Basket) -> None:
            headers = f"Idempotency-Key: {basket.command_id}\r\n"
            _check(await http.post(f"/orders/{basket.order.order_id}", body_of(basket.order), headers))

        yield post
        return
    async with connect(settings.nats_url, PRINCIPAL, settings.password(PRINCIPAL)) as daybook:

        async def publish(basket: Basket) -> None:
            await daybook.send(basket.order, command_id=basket.command_id)

        yield publish


def _check(reply: Reply) -> None:
    if reply.status == 202:
        return
    text = reply.body.decode(errors="replace")[:300]
    if reply.status in AGAIN:
        raise NotNow(text)
    raise click.ClickException(f"the gateway answers {reply.status}: {text}")


async def _all_visible(reads: Any, http: KeepAlive, ids: Sequence[str], bars: Progress) -> None:
    """Waits until every order is in the read table. Raises when nothing moves any more, and says why."""
    task = bars.add_task("visible", total=len(ids))
    seen, moved = -1, time.monotonic()
    missing: Sequence[str] = ids
    while missing:
        found = await _visible(reads, missing)
        missing = [each for each in missing if each not in found]
        bars.update(task, completed=len(ids) - len(missing))
        if len(missing) != seen:
            seen, moved = len(missing), time.monotonic()
        elif time.monotonic() - moved > PATIENCE_S:
            why = await http.get(f"/commands/order/{missing[0].replace('basket', 'replay')}")
            text = why.body.decode(errors="replace")[:300]
            raise click.ClickException(f"{len(missing)} orders do not become visible; of the first: {text}")
        if missing:
            await asyncio.sleep(POLL_S)


async def _latency(http: KeepAlive) -> tuple[float | None, float | None]:
    """Milliseconds from recorded to visible over the last minute, as the projector of `orders` tells: p50 and p99."""
    try:
        models = msgspec.json.decode((await http.get("/consistency-lag")).body)["read_models"]
    except (OSError, TimeoutError, msgspec.DecodeError, KeyError):
        return None, None
    found = [each for each in models if each["model"] == "orders"]
    return (found[0]["p50_ms"], found[0]["p99_ms"]) if found else (None, None)


def _progress(console: Console) -> Progress:
    columns = (TextColumn("{task.description:>8}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    return Progress(*columns, console=console)
