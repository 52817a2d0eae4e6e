"""`daybook replay`: a grocer's real year as orders, and the proof that the views equal the file."""

import asyncio
import sys
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any

import asyncpg
import click
import msgspec
from rich.console import Console

from common.bus.denials import NotPermitted
from common.config import Settings
from common.questions import NoAnswer, QueryRefused
from gateway.cli.baskets import Baskets
from gateway.cli.sending import Wish, each_of, send_all
from gateway.cli.year.agreeing import STILL_S, agreed
from gateway.cli.year.comparing import Comparison
from gateway.cli.year.course import Course
from gateway.cli.year.shown import MOST, STAGES, Bars, Played, show
from gateway.cli.year.system import System, reached
from gateway.cli.year.underway import Underway
from gateway.cli.year.views import AWAY
from gateway.cli.year.wishes import delivered, dispatched

TRIES, PAUSE_S = 5, 2.0


class Number(click.ParamType[int | None]):
    """How many, or `all`, which is None."""

    name = "number"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value in ("all", None):
            return None
        if str(value).isdecimal() and int(value):
            return int(value)
        self.fail(f"{value!r} is not a number from 1 on, and not `all`", param, ctx)


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
        click.echo("\nStopped. The same command goes on from here: what is there is not sent again.", err=True)
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
        with Baskets(baskets) as year:
            async with reached(settings, via) as system:
                played = await _play(year, system, console, rate, deliver)
    except (OSError, asyncpg.PostgresError, NoAnswer, QueryRefused, NotPermitted) as error:
        raise click.ClickException(f"the replay stopped: {error or type(error).__name__}") from None
    show(played, console, full)
    return played


def refuse_differences(played: Played) -> None:
    """Raises `click.ClickException` when there is one."""
    if text := in_words(played.found):
        raise click.ClickException(text)


def in_words(found: Comparison) -> str:
    """The first differences; "" when there is none."""
    if not found.differences:
        return ""
    few = "\n  ".join(map(str, found.differences[:MOST]))
    more = f"\n  and {len(found.differences) - MOST:,} more" if len(found.differences) > MOST else ""
    why = f" (orders still moved after {STILL_S:.0f} s; compare again when they rest)" if found.moving else ""
    return f"the views and the file differ{why}:\n  {few}{more}"


async def _play(year: Baskets, system: System, console: Console, rate: float, deliver: bool) -> Played:
    async def hand_over(parcels: Sequence[tuple[str, datetime]]) -> None:
        """All are known to have left before the first is said to have arrived."""
        for word in (dispatched, delivered):
            wishes: list[Wish[Any]] = [word(*each) for each in parcels]
            await send_all(each_of(wishes), system.send, system.via, lambda wish: None)

    underway = Underway(system.views, system.catches_up, hand_over if deliver else None)
    course = Course(year, system, underway, rate)
    stages = STAGES if deliver else STAGES[:-1]
    with Bars(console, {"prepared": course.ahead} | dict.fromkeys(stages, len(year)), underway.progress) as bars:
        await _to_its_end(course, system, underway, bars)
    latency = await system.latency() if course.sent else (None, None)
    found = await _compared(year, system, deliver)
    return Played(
        sent=course.sent,
        skipped=course.skipped,
        per_s=bars.rates(course.sent, course.begun) if course.sent else {},
        visible_p50_ms=latency[0],
        visible_p99_ms=latency[1],
        found=found,
    )


async def _compared(year: Baskets, system: System, deliver: bool) -> Comparison:
    """What the views say. When they, or who answers for them, go away meanwhile, all is asked again."""
    for _ in range(TRIES - 1):
        with suppress(*AWAY, NoAnswer):
            return await agreed(year, system, deliver)
        system.views.close()
        await asyncio.sleep(PAUSE_S)
    return await agreed(year, system, deliver)


async def _to_its_end(course: Course, system: System, underway: Underway, bars: Bars) -> None:
    try:
        async with asyncio.TaskGroup() as group:
            group.create_task(underway.run(bars.show))
            async for part in course.parts():
                await send_all(part, system.send, system.via, course.stored)
            underway.was_the_last()
    except* click.ClickException as troubles:
        raise troubles.exceptions[0] from None
