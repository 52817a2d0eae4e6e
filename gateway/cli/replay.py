"""`daybook replay`: a grocer's real year as orders, and the proof that the views equal the file."""

import asyncio
import sys
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack, suppress
from datetime import datetime
from typing import Any

import asyncpg
import click
import msgspec
from rich.console import Console

from common.bus.denials import NotPermitted
from common.client import Client, connect
from common.config import Settings
from common.lag import ConsistencyLag, LagAnswer
from common.questions import NoAnswer, QueryRefused
from gateway.cli.baskets import Baskets
from gateway.cli.keepalive import KeepAlive
from gateway.cli.sending import PRINCIPAL, Send, Wish, each_of, posting, publishing, send_all
from gateway.cli.up import http_url
from gateway.cli.year.comparing import compare
from gateway.cli.year.course import Course
from gateway.cli.year.shown import MOST, Bars, Played, show
from gateway.cli.year.underway import Underway
from gateway.cli.year.views import Views
from gateway.cli.year.wishes import delivered, dispatched

CAUGHT_UP_S, LOOK_S = 60.0, 0.2


class Number(click.ParamType[int | None]):
    """How many, or `all`."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value in ("all", None):
            return None
        if isinstance(value, int) or value.isdecimal():
            return int(value) or self.fail("at least 1, or all", param, ctx)
        self.fail(f"{value!r} is no number, and not `all`", param, ctx)


@click.command()
@click.option("--baskets", default=1000, show_default=True, type=Number(), metavar="N|all", help="The first N.")
@click.option("--via", default="http", show_default=True, type=click.Choice(("http", "nats")), help="Which door.")
@click.option("--rate", default=0.0, metavar="R", help="At most so many orders a second; 0 is as fast as it goes.")
@click.option("--deliver", is_flag=True, help="Dispatch and deliver each of them too, at the time of its purchase.")
@click.option("--full", is_flag=True, help="Print every sum, not only the totals.")
@click.option("--json", "plain", is_flag=True, help="Print the result as JSON, with every sum; no bars.")
def replay(baskets: int | None, via: str, rate: float, deliver: bool, full: bool, plain: bool) -> None:
    """Play a grocer's real year through the system and compare the views with the file, to the cent.

    Whoever buys is registered, what is sold is taken into the catalogue and comes to the stores, then each basket is
    ordered at the amounts that were paid. Ctrl-C at any time: the same command goes on from there, and nothing is
    ordered twice. A difference between the file and the views is an error.

    \b
    daybook replay --baskets 20000 --via nats --deliver
    """
    console = Console(stderr=plain, quiet=plain)
    try:
        played = asyncio.run(play(Settings.from_env(), baskets, via, console, rate=rate, deliver=deliver, full=full))
    except KeyboardInterrupt:
        again = "The same command goes on from here: what is there is not sent again."
        click.echo(f"\nStopped. {again}", err=True)
        sys.exit(130)
    if plain:
        click.echo(msgspec.json.encode(played))
    refuse_differences(played)


async def play(
    settings: Settings, baskets: int | None, via: str, console: Console,
    *, rate: float = 0.0, deliver: bool = False, full: bool = False,
) -> Played:  # fmt: skip
    """Play the first baskets, or all, and print what happened. Raises `click.ClickException` with what went wrong."""
    if not settings.read_dsn or not settings.nats_url:
        raise click.ClickException(
            "nothing runs on this data folder, and DAYBOOK_READ_DSN or DAYBOOK_NATS_URL is not set: start `daybook up`"
        )
    try:
        async with AsyncExitStack() as stack:
            year = stack.enter_context(Baskets(baskets))
            daybook = await stack.enter_async_context(
                connect(settings.nats_url, PRINCIPAL, settings.password(PRINCIPAL))
            )
            http = KeepAlive(http_url(settings), settings.api_key(PRINCIPAL))
            stack.callback(http.close)
            views = Views(settings.read_dsn)
            stack.callback(views.close)
            send = posting(http) if via == "http" else publishing(daybook)
            played = await _Replay(year, daybook, views, send, via).run(console, rate, deliver)
    except (OSError, asyncpg.PostgresError, NoAnswer, QueryRefused, NotPermitted) as error:
        raise click.ClickException(f"the replay stopped: {error or type(error).__name__}") from None
    show(played, console, full)
    return played


def refuse_differences(played: Played) -> None:
    """Raises `click.ClickException` when there is one."""
    if found := played.found.differences:
        few = "\n  ".join(map(str, found[:MOST]))
        more = f"\n  and {len(found) - MOST:,} more" if len(found) > MOST else ""
        raise click.ClickException(f"the views and the file differ:\n  {few}{more}")


class _Replay:
    """One run, with all it needs."""

    def __init__(self, year: Baskets, daybook: Client, views: Views, send: Send, via: str) -> None:
        self._year, self._daybook, self._views, self._send, self._via = year, daybook, views, send, via
        self._projected: Sequence[object] = ()

    async def run(self, console: Console, rate: float, deliver: bool) -> Played:
        underway = Underway(self._views, self._catches_up, self._hand_over if deliver else None)
        course = Course(self._year, self._daybook, self._views, underway, rate)
        stages = ("stored", "visible", "settled", *(["delivered"] if deliver else []))
        totals = {"prepared": course.ahead} | dict.fromkeys(stages, len(self._year))
        with Bars(console, totals, underway.progress) as bars:
            await self._play(course, underway, bars)
        latency = await self._latency() if course.sent else (None, None)
        await self._caught_up()
        per_s = {
            name: round(course.sent / (bars.at[name] - course.begun), 1) if course.sent and name in bars.at else None
            for name in ("stored", "visible", "settled", "delivered")
        }
        return Played(
            sent=course.sent,
            skipped=course.skipped,
            stored_per_s=per_s["stored"],
            visible_per_s=per_s["visible"],
            settled_per_s=per_s["settled"],
            delivered_per_s=per_s["delivered"],
            visible_p50_ms=latency[0],
            visible_p99_ms=latency[1],
            found=await compare(self._year, self._daybook, self._views, deliver),
        )

    async def _play(self, course: Course, underway: Underway, bars: Bars) -> None:
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(underway.run(bars.show))
                async for part in course.parts():
                    await send_all(part, self._send, self._via, course.stored)
                underway.was_the_last()
        except* click.ClickException as troubles:
            raise troubles.exceptions[0] from None

    async def _hand_over(self, parcels: Sequence[tuple[str, datetime]]) -> None:
        """All are known to have left before the first is said to have arrived."""
        for word in (dispatched, delivered):
            wishes: list[Wish[Any]] = [word(*each) for each in parcels]
            await send_all(each_of(wishes), self._send, self._via, lambda wish: None)

    async def _lag(self) -> LagAnswer | None:
        with suppress(NoAnswer, QueryRefused, OSError):
            return msgspec.convert(await self._daybook.ask(ConsistencyLag()), LagAnswer)
        return None

    async def _catches_up(self) -> bool:
        """Whether any view has come further since this was asked last: then it is worth waiting."""
        lag = await self._lag()
        now = [each.projected for each in lag.read_models] if lag else []
        was, self._projected = self._projected, now
        return now != was

    async def _caught_up(self) -> None:
        """Until each view has come as far as the records have now, or a minute has gone by."""
        heads: dict[str, Any] = {}
        deadline = time.monotonic() + CAUGHT_UP_S
        while time.monotonic() < deadline:
            if lag := await self._lag():
                heads = heads or {each.context: each.head for each in lag.contexts}
                if all(_is_at(each.projected, heads.get(each.context)) for each in lag.read_models):
                    return
            await asyncio.sleep(LOOK_S)

    async def _latency(self) -> tuple[float | None, float | None]:
        """Milliseconds from recorded to visible over the last minute, of the orders: p50 and p99."""
        lag = await self._lag()
        found = [each for each in lag.read_models if each.model == "orders"] if lag else []
        return (found[0].p50_ms, found[0].p99_ms) if found else (None, None)


def _is_at(projected: object, head: object) -> bool:
    return isinstance(projected, int) and isinstance(head, int) and projected >= head
