"""`daybook replay`: a grocer's real baskets as orders, then the proof that the read table equals the file."""

import asyncio
import itertools
import time
from collections.abc import Iterator, Sequence
from functools import partial
from typing import Any

import asyncpg
import click
import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from common.config import Settings
from gateway.cli.baskets import Baskets
from gateway.cli.keepalive import KeepAlive
from gateway.cli.played import Played, Tables, show
from gateway.cli.sending import PATIENCE_S, PRINCIPAL, Send, Wish, send_all, sender
from gateway.cli.up import http_url

POLL_S = 0.1
SETTLE_S = 15.0
"""How long no order may move before we say how they stand. Without reactions none of them ever does."""
MOVING = ("placed", "admitted", "reserved", "cancelling")

VISIBLE = "SELECT order_id FROM read.orders WHERE order_id = ANY($1)"
READ_SUMS = """SELECT count(*), coalesce(sum(total), 0)::bigint, coalesce(sum(units), 0)::bigint,
    coalesce(sum(jsonb_array_length(lines)), 0)::bigint FROM read.orders WHERE order_id = ANY($1)"""
STATES = "SELECT state, count(*) FROM read.orders WHERE order_id = ANY($1) GROUP BY 1 ORDER BY 2 DESC, 1"


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
        with _progress(console) as bars:
            async with sender(settings, via, http) as send:
                if len(there) < len(ids):
                    await _prepare(chosen, send, via, bars)
                begun = time.monotonic()
                stored = bars.add_task("stored", total=len(ids), completed=len(there))
                new = (basket for basket in chosen if basket.order.order_id not in there)
                sent = await send_all(new, send, via, partial(bars.advance, stored), rate)
            times = [time.monotonic()]
            await _all_visible(reads, http, ids, bars)
            times.append(time.monotonic())
            states = await _settled(reads, ids, bars)
            times.append(time.monotonic())
        p50, p99 = await _latency(http) if sent else (None, None)
        row: Any = await reads.fetchrow(READ_SUMS, ids)
        stored_per_s, visible_per_s, settled_per_s = (round(sent / (t - begun), 1) if sent else None for t in times)
        return Played(
            sent=sent,
            skipped=len(there),
            stored_per_s=stored_per_s,
            visible_per_s=visible_per_s,
            settled_per_s=settled_per_s,
            visible_p50_ms=p50,
            visible_p99_ms=p99,
            states=states,
            read=Tables(*row),
            file=chosen.sums(),
        )
    finally:
        http.close()
        await reads.close()


async def _prepare(chosen: Baskets, send: Send, via: str, bars: Progress) -> None:
    """Sees to it that who buys is a customer, and that what is bought is there.

    It need not be decided before the orders are sent: each customer and each site is asked in the order of arrival.
    """
    task = bars.add_task("prepared", total=None)
    wishes: Iterator[Wish[Any]] = itertools.chain(chosen.households(), chosen.goods())
    number = await send_all(wishes, send, via, partial(bars.advance, task))
    bars.update(task, total=number)


async def _settled(reads: Any, ids: Sequence[str], bars: Progress) -> dict[str, int]:
    """How many orders are in which state, once none of them waits for anybody but the warehouse."""
    task = bars.add_task("settled", total=len(ids))
    states: dict[str, int] = {}
    moved = time.monotonic()
    while True:
        now: dict[str, int] = {state: number for state, number in await reads.fetch(STATES, ids)}
        moving = sum(now.get(state, 0) for state in MOVING)
        bars.update(task, completed=len(ids) - moving)
        if now != states:
            states, moved = now, time.monotonic()
        if not moving or time.monotonic() - moved > SETTLE_S:
            return states
        await asyncio.sleep(POLL_S)


async def _visible(reads: Any, ids: Sequence[str]) -> set[str]:
    return {row[0] for row in await reads.fetch(VISIBLE, ids)}


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
