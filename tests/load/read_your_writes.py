"""Does a GET right after the 202 of its own POST show what was posted? Thousands of pairs, under load, at both doors.

    python -m tests.load.read_your_writes [--pairs 10000] [--concurrency 32] [--background 200] [--json FILE]

An order makes two pairs: placed and read (version 1), cancelled and read (version 2). Every pair reads at once, once
with `Daybook-After`, once without; stale is a 404 or another version. Beside each pair an old order is read plainly:
what a pair's GET takes more than that is the price of waiting. Runs on a system of its own in a temporary folder.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from itertools import count, cycle
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from common.client import body_of
from gateway.cli.baskets import Baskets
from tests.load.closed_loop import post_request
from tests.load.measure import quantile_ms
from tests.load.pace import Steady, follow
from tests.load.pair_doors import PRINCIPAL, Door, Seen, opened
from tests.load.wire import Line, open_line
from tests.servers import System, running_system, temporary_data

BASKETS = 1000
BACKGROUND_LANES = 64
DOORS = {"http": "HTTP", "nats": "NATS"}


class Pairs(Struct):
    """What the pairs of one door saw; times in seconds."""

    fresh: list[float] = []
    """How long each read took that followed its write."""
    plain: list[float] = []
    """How long each read of an old order took, at the same time."""
    missing: int = 0
    old_version: int = 0
    refused: int = 0
    example: str = ""

    def note(self, seen: Seen, expected: int, taken: float) -> None:
        status, version = seen
        self.fresh.append(taken)
        if status == 404:
            self.missing += 1
        elif status != 200:
            self.refused += 1
            self.example = self.example or f"a read was answered {status}"
        elif version != expected:
            self.old_version += 1


class Figures(Struct, frozen=True):
    """What came out at one door, with or without `Daybook-After`. `added` is the difference of the two quantiles."""

    door: str
    after: bool
    pairs: int
    stale: int
    stale_missing: int
    stale_version: int
    refused: int
    fresh_p50_ms: float
    fresh_p99_ms: float
    plain_p50_ms: float
    plain_p99_ms: float
    added_p50_ms: float
    added_p99_ms: float
    background_per_s: float
    pairs_per_s: float
    example: str


@click.command()
@click.option("--pairs", default=10_000, show_default=True, type=click.IntRange(2, 1_000_000), help="At each door.")
@click.option("--concurrency", default=32, show_default=True, type=click.IntRange(1, 512), help="Pairs at a time.")
@click.option("--background", default=200, show_default=True, type=click.IntRange(1, 5000), help="Orders/s beside.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(pairs: int, concurrency: int, background: int, file: Path | None) -> None:
    """Read one's own writes under load, with `Daybook-After` and without it. Exit code 1 when one with it was stale."""
    found = uvloop.run(on_its_own(pairs, concurrency, background))
    show(found, Console())
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))
    if any(each.after and (each.stale or each.refused) for each in found):
        raise click.ClickException("not every read with `Daybook-After` showed its own write")


async def on_its_own(pairs: int, concurrency: int, background: int) -> list[Figures]:
    with temporary_data() as data:
        async with running_system(data, options=["--without-reactions"]) as system:
            return await both_doors(system, pairs, concurrency, background)


async def both_doors(system: System, pairs: int, concurrency: int, background: int) -> list[Figures]:
    """Each door with `Daybook-After` and without it, one after the other."""
    with Baskets(BASKETS) as chosen:
        bodies = [body_of(basket.order) for basket in chosen]
    found = []
    for door in DOORS:
        for after in (True, False):
            found.append(await measured(system, door, after, pairs, concurrency, background, bodies))
    return found


async def measured(
    system: System, door: str, after: bool, pairs: int, concurrency: int, background: int, bodies: Sequence[bytes]
) -> Figures:
    seen, orders = Pairs(), iter(range(pairs // 2))
    prefix = f"own-{door}-{after:d}"
    async with AsyncExitStack() as stack:
        lanes = await stack.enter_async_context(opened(system, door, concurrency))
        old = f"{prefix}-old"
        await lanes[0].read(old, await lanes[0].write(old, bodies[0]))
        placed = await stack.enter_async_context(beside(system, prefix, background, bodies))
        begun = perf_counter()
        endless = cycle(bodies)
        await asyncio.gather(*(lane(each, orders, prefix, endless, old, after, seen) for each in lanes))
        seconds = perf_counter() - begun
        return figures(door, after, seen, seconds, placed() / seconds)


async def lane(door: Door, orders: Any, prefix: str, bodies: Any, old: str, after: bool, seen: Pairs) -> None:
    """Pair after pair: place and read, cancel and read."""
    for number in orders:
        order = f"{prefix}-{number}"
        for version, body in ((1, next(bodies)), (2, None)):
            token = await door.write(order, body)
            begun = perf_counter()
            found = await door.read(order, token if after else "")
            seen.note(found, version, perf_counter() - begun)
            begun = perf_counter()
            await door.read(old, "")
            seen.plain.append(perf_counter() - begun)


@asynccontextmanager
async def beside(system: System, prefix: str, rate: int, bodies: Sequence[bytes]) -> AsyncIterator[Callable[[], int]]:
    """Other orders at a steady rate, over HTTP, while the block runs; gives how many were taken so far."""
    schedule, numbers, endless, taken = Steady(rate, 3600.0), count(), cycle(bodies), 0
    settings = system.settings
    key = settings.api_key(PRINCIPAL)
    lines = [await open_line(settings.http_host, settings.http_port) for _ in range(BACKGROUND_LANES)]

    async def begin(line: Line) -> None:
        nonlocal taken
        reply = await line.ask(post_request(f"/orders/{prefix}-beside-{next(numbers)}", key, next(endless)))
        taken += reply.status == 202

    tasks = [asyncio.create_task(follow(schedule, lambda _, line=line: begin(line))) for line in lines]  # type: ignore[misc]  # a bound name
    try:
        yield lambda: taken
    finally:
        schedule.stop()
        await asyncio.gather(*tasks)
        for line in lines:
            line.close()


def figures(door: str, after: bool, seen: Pairs, seconds: float, background: float) -> Figures:
    fresh, plain = sorted(seen.fresh), sorted(seen.plain)
    times = [quantile_ms(each, share) for each in (fresh, plain) for share in (0.50, 0.99)]
    return Figures(
        door=door,
        after=after,
        pairs=len(fresh),
        stale=seen.missing + seen.old_version,
        stale_missing=seen.missing,
        stale_version=seen.old_version,
        refused=seen.refused,
        fresh_p50_ms=times[0],
        fresh_p99_ms=times[1],
        plain_p50_ms=times[2],
        plain_p99_ms=times[3],
        added_p50_ms=round(times[0] - times[2], 2),
        added_p99_ms=round(times[1] - times[3], 2),
        background_per_s=round(background, 1),
        pairs_per_s=round(len(fresh) / seconds, 1),
        example=seen.example,
    )


def show(found: Sequence[Figures], console: Console) -> None:
    table = Table(title="reading one's own writes, under load")
    for heading in ("door", "Daybook-After", "pairs", "stale", "404", "old version", "refused", "pairs/s"):
        table.add_column(heading, justify="left" if heading == "door" else "right")
    for each in found:
        cells = (each.pairs, each.stale, each.stale_missing, each.stale_version, each.refused)
        row = [f"{number:,}" for number in cells]
        table.add_row(DOORS[each.door], "yes" if each.after else "no", *row, f"{each.pairs_per_s:,.0f}")
    console.print(table)
    for each in found:
        if each.after:
            console.print(
                f"{DOORS[each.door]}: a read with it took p50 {each.fresh_p50_ms} ms, p99 {each.fresh_p99_ms} ms; one "
                f"of an old order {each.plain_p50_ms} and {each.plain_p99_ms}: added {each.added_p50_ms} and "
                f"{each.added_p99_ms} ms",
                highlight=False,
                soft_wrap=True,
            )
    console.print(f"Beside them {found[0].background_per_s:,.0f} other orders a second.", highlight=False)


if __name__ == "__main__":
    main()
