"""What one hot site costs: orders of one site against as many of 200 sites, and the first decision after a restart.

    python -m tests.load.hot_site [--events 100000] [--orders 2000] [--sites 200] [--rounds 3] [--json FILE]

A worker of stock settles commands as the command stream would hand them on, into a Postgres of its own; the bus and the
read models are left out. The hot site has 13,000 products and a stream of so many events; its orders want ten products
each out of a hundred, so they overlap. Of the other sites each has 1,000 products. The two take turns. The first
decision is that of a worker that has just been made and connected, with snapshots and without.
"""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from itertools import count
from pathlib import Path
from random import Random
from statistics import median
from time import perf_counter, process_time

import click
import msgspec
from msgspec import Struct
from msgspec.structs import replace
from rich.console import Console
from rich.table import Table

from common.config import Settings
from common.context import Context
from common.store.pool import open_pool
from contexts.stock.wiring import CONTEXT as STOCK
from tests.servers import running_servers, temporary_data
from tests.shell.conftest import Desk, Message, open_desk

HOT = "hot"
PRODUCTS, PRODUCTS_ELSEWHERE, WANTED = 13_000, 1_000, 100
LINES, CHUNK, BATCH = 10, 500, 256
AT = "2026-03-01T12:00:00Z"
FIRST_TRIES = 5


class Pace(Struct, frozen=True):
    """Orders a second, and the worker's own CPU for each, in microseconds."""

    per_s: float
    cpu_us: float


class Figures(Struct, frozen=True):
    """The medians of all rounds. `first_ms` is what the hot site's first decision takes, `first_cpu_ms` how much the
    worker computes for it, `folded_ms` what it takes without snapshots."""

    events: int
    hot: Pace
    elsewhere: Pace
    ratio: float
    first_ms: float
    first_cpu_ms: float
    folded_ms: float


@click.command()
@click.option(
    "--events", default=10_000, show_default=True, type=click.IntRange(1000, 1_000_000), help="Of its stream."
)
@click.option("--orders", default=2000, show_default=True, type=click.IntRange(100, 100_000), help="A round, each.")
@click.option("--sites", default=200, show_default=True, type=click.IntRange(1, 1000), help="Beside the hot one.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 100))
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(events: int, orders: int, sites: int, rounds: int, file: Path | None) -> None:
    """Compare one hot site with many."""
    found = asyncio.run(on_its_own(events, orders, sites, rounds))
    show(found, sites, Console())
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


async def on_its_own(events: int, orders: int, sites: int, rounds: int) -> Figures:
    with temporary_data() as data:
        async with running_servers(data) as servers, open_desk(servers.settings, STOCK) as desk, snapshots_of(desk):
            return await measured(servers.settings, Load(desk), events, orders, sites, rounds)


@asynccontextmanager
async def snapshots_of(desk: Desk) -> AsyncIterator[None]:
    """Takes the snapshots that are due beside the worker, as its process does."""
    running = asyncio.create_task(desk.worker.snapshots.run())
    yield
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running


async def measured(settings: Settings, load: "Load", events: int, orders: int, sites: int, rounds: int) -> Figures:
    elsewhere = [f"site{n}" for n in range(sites)]
    await load.open(HOT, PRODUCTS)
    for site in elsewhere:
        await load.open(site, PRODUCTS_ELSEWHERE)
    await load.orders([HOT], events // 2)  # Each is reserved and released.
    paces: dict[str, list[Pace]] = {"hot": [], "elsewhere": []}
    for n in range(rounds + 1):
        for name in ("hot", "elsewhere") if n % 2 else ("elsewhere", "hot"):
            pace = await load.orders([HOT] if name == "hot" else elsewhere, orders)
            paces[name] += [pace] if n else []  # The first one warms up.
    stock, plain = load.desk.context, replace(load.desk.context, snapshot=None)
    first = [await first_decision(settings, load, stock) for _ in range(FIRST_TRIES)]
    folded = [await first_decision(settings, load, plain) for _ in range(FIRST_TRIES)]
    at_last = await load.desk.reader.stream(HOT, 0, 1_000_000)
    hot, others = (middle(paces[name]) for name in ("hot", "elsewhere"))
    first_ms, first_cpu_ms = (median(each) for each in zip(*first, strict=True))
    folded_ms = median(ms for ms, _ in folded)
    return Figures(len(at_last), hot, others, round(hot.per_s / others.per_s, 2), first_ms, first_cpu_ms, folded_ms)


class Load:
    """Commands to the desk of one worker."""

    def __init__(self, desk: Desk) -> None:
        self.desk, self._chance, self.numbers = desk, Random(1), count(1)

    async def open(self, site: str, products: int) -> None:
        """Fills a site's shelves, in chunks as a delivery comes."""
        for first in range(0, products, CHUNK):
            skus = [f"{1_000_000 + n}" for n in range(first, min(first + CHUNK, products))]
            lines = [{"sku": sku, "quantity": 1_000_000} for sku in skus]
            await self.desk.settle(
                self.desk.message(site, "ReceiveStock", self._id(), principal="warehouse", lines=lines)
            )

    async def orders(self, sites: Sequence[str], number: int) -> Pace:
        """So many orders, over the sites in turn: each reserves, and has its goods released right behind."""
        orders = [(sites[n % len(sites)], f"o{next(self.numbers)}") for n in range(number)]
        reserving = [self.reserve(self.desk, site, order_id) for site, order_id in orders]
        pace = await self._settled(reserving)
        await self._settled([self._release(site, order_id) for site, order_id in orders])
        return pace

    async def _settled(self, messages: Sequence[Message]) -> Pace:
        begun, used = perf_counter(), process_time()
        for first in range(0, len(messages), BATCH):
            batch = messages[first : first + BATCH]
            receipts = await self.desk.settle(*batch)
            assert all(receipt.state == "accepted" for receipt in receipts.values())
        seconds, used = perf_counter() - begun, process_time() - used
        return Pace(len(messages) / seconds, used / len(messages) * 1e6)

    def reserve(self, desk: Desk, site: str, order_id: str) -> Message:
        skus = self._chance.sample(range(1_000_000, 1_000_000 + WANTED), LINES)
        lines = [{"sku": f"{sku}", "quantity": 1} for sku in skus]
        return desk.message(
            site, "ReserveStock", self._id(), principal=desk.name, order_id=order_id, lines=lines, at=AT
        )

    def _release(self, site: str, order_id: str) -> Message:
        name = self.desk.name
        return self.desk.message(site, "ReleaseReservation", self._id(), principal=name, order_id=order_id, at=AT)

    def _id(self) -> str:
        return f"c{next(self.numbers)}"


async def first_decision(settings: Settings, load: Load, context: Context) -> tuple[float, float]:
    """How long a new worker, just connected, takes to settle its first command, which is one of the hot site, and how
    much it computes for that (ms)."""
    pool = await open_pool(settings.write_dsn(context.name), "writer")
    try:
        desk = Desk(context, pool, load.desk.owner, load.desk.login, load.desk.leases)
        wanted = load.reserve(desk, HOT, f"first{next(load.numbers)}")
        begun, used = perf_counter(), process_time()
        receipts = await desk.settle(wanted)
        taken, used = perf_counter() - begun, process_time() - used
        assert [receipt.state for receipt in receipts.values()] == ["accepted"]
        return round(taken * 1000, 1), round(used * 1000, 1)
    finally:
        await pool.close()


def middle(paces: Sequence[Pace]) -> Pace:
    return Pace(round(median(each.per_s for each in paces)), round(median(each.cpu_us for each in paces)))


def show(found: Figures, sites: int, console: Console) -> None:
    table = Table(title=f"orders settled by a worker of stock; the hot site has {found.events:,} events")
    for heading in ("", "orders/s", "CPU us/order"):
        table.add_column(heading, justify="right" if heading else "left")
    table.add_row("one hot site", f"{found.hot.per_s:,.0f}", f"{found.hot.cpu_us:,.0f}")
    table.add_row(f"{sites} sites", f"{found.elsewhere.per_s:,.0f}", f"{found.elsewhere.cpu_us:,.0f}")
    table.add_row("ratio", f"{found.ratio:.2f}", f"{found.hot.cpu_us / found.elsewhere.cpu_us:.2f}")
    console.print(table)
    console.print(
        f"The hot site's first decision by a new worker: {found.first_ms:,.0f} ms, of which it computes "
        f"{found.first_cpu_ms:,.0f}; by folding every event {found.folded_ms:,.0f} ms.",
        highlight=False,
    )


if __name__ == "__main__":
    main()
