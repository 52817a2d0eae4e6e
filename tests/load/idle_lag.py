"""How long one order takes to be visible while nothing else happens, and what an idle system costs.

    python -m tests.load.idle_lag [--tries 300] [--pause 1.3] [--idle 60] [--json FILE]

Every order waits until the system has slept longer than each of its intervals of fetching and polling. `visible` is
from the arrival of the 202 until the read database shows the row, polled tightly from outside; `read` is from the 202
until a GET with `Daybook-After` is answered, in tries of its own. Runs on a system of its own in a temporary folder.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import cycle, islice
from pathlib import Path
from statistics import median
from time import perf_counter, sleep
from typing import Any

import asyncpg
import click
import msgspec
import psutil
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.progress import track
from rich.table import Table

from common.client import body_of
from gateway.cli.baskets import Baskets
from tests.load.closed_loop import post_request
from tests.load.measure import quantile_ms
from tests.load.pair_doors import PRINCIPAL
from tests.load.wire import Line, Reply, get_request, open_line
from tests.servers import System, running_system, temporary_data

BASKETS = 300
LONGEST_INTERVAL_S = 1.2
LATE_S = 10.0
BETWEEN_LOOKS_S = 0.0002
"""A look without a pause would take a core of its own from what it measures; a loop's timer is too coarse for it."""
WARM = 5
"""Orders before the first that counts: connections are opened, statements prepared, code is loaded."""
OUTLIER_MS = 100.0
P50_GOAL_MS, P99_GOAL_MS, CPU_GOAL = 6.0, 20.0, 5.0
ROW = "SELECT 1 FROM read.orders WHERE order_id = $1"


class Times(Struct, frozen=True):
    """Quantiles of one kind of time, in milliseconds."""

    n: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    over_100_ms: int


class Idle(Struct, frozen=True):
    """What came out. `cpu` is percent of one core by process while nothing was asked; `poll_ms` from look to look."""

    accepted: Times
    visible: Times
    read: Times
    poll_ms: float
    pause_s: float
    idle_s: float
    cpu: dict[str, float]
    cpu_together: float

    @property
    def goals(self) -> dict[str, bool]:
        return {
            f"visible p50 at most {P50_GOAL_MS:g} ms": self.visible.p50_ms <= P50_GOAL_MS,
            f"visible p99 at most {P99_GOAL_MS:g} ms": self.visible.p99_ms <= P99_GOAL_MS,
            f"none above {OUTLIER_MS:g} ms": self.visible.over_100_ms == 0,
            f"idle CPU at most {CPU_GOAL:g} % of a core": self.cpu_together <= CPU_GOAL,
        }


@click.command()
@click.option("--tries", default=300, show_default=True, type=click.IntRange(1, 10_000), help="Orders polled for.")
@click.option("--reads", type=click.IntRange(1, 10_000), help="Orders read with Daybook-After; a third of the tries.")
@click.option(
    "--pause",
    default=1.3,
    show_default=True,
    type=click.FloatRange(LONGEST_INTERVAL_S, 60, min_open=True),
    help="Seconds before each.",
)
@click.option("--idle", default=60.0, show_default=True, type=click.FloatRange(1, 3600), help="Seconds of nothing.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(tries: int, reads: int | None, pause: float, idle: float, file: Path | None) -> None:
    """Measure the lag of single orders on an idle system, and its CPU while nothing is asked."""
    found = uvloop.run(on_its_own(tries, reads or max(1, tries // 3), pause, idle))
    show(found, Console())
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


async def on_its_own(tries: int, reads: int, pause: float, idle: float) -> Idle:
    with temporary_data() as data:
        async with running_system(data) as system:
            return await measured(system, tries, reads, pause, idle)


async def measured(system: System, tries: int, reads: int, pause: float, idle: float) -> Idle:
    """Single orders, then nothing."""
    settings = system.settings
    line = await open_line(settings.http_host, settings.http_port)
    database = await asyncpg.connect(settings.read_dsn)
    key = settings.api_key(PRINCIPAL)
    watch = Watch(await database.prepare(ROW))
    try:
        for request in orders(key, "warm", WARM):
            await watch.until_visible(*await posted(line, request))
        accepted, visible, read = [], [], []
        for request in shown(orders(key, "polled", tries), tries, "polled"):
            await asyncio.sleep(pause)
            accepted.append(await timed(lambda request=request: posted(line, request)))  # type: ignore[misc]  # bound
            visible.append(await timed(lambda: watch.until_visible(*accepted[-1][1])))
        for request in shown(orders(key, "read", reads), reads, "read"):
            await asyncio.sleep(pause)
            order, token = await posted(line, request)
            read.append(await timed(lambda order=order, token=token: own(line, key, order, token)))  # type: ignore[misc]  # bound
        cpu = await idle_cpu(system, idle)
    finally:
        line.close()
        await database.close()
    return Idle(
        times([taken for taken, _ in accepted]),
        times([taken for taken, _ in visible]),
        times([taken for taken, _ in read]),
        round(median(watch.looks) * 1000, 2),
        pause,
        idle,
        cpu,
        round(sum(cpu.values()), 2),
    )


def orders(key: str, name: str, number: int) -> Iterator[tuple[str, bytes]]:
    """So many orders by id, ready to be sent."""
    with Baskets(BASKETS) as chosen:
        bodies = [body_of(basket.order) for basket in chosen]
    for i, body in enumerate(islice(cycle(bodies), number)):
        yield f"idle-{name}-{i}", post_request(f"/orders/idle-{name}-{i}", key, body)


def shown(requests: Iterator[tuple[str, bytes]], number: int, name: str) -> Any:
    return track(requests, name, total=number, console=Console(stderr=True))


async def timed(work: Callable[[], Awaitable[Any]]) -> tuple[float, Any]:
    begun = perf_counter()
    done = await work()
    return perf_counter() - begun, done


async def posted(line: Line, request: tuple[str, bytes]) -> tuple[str, str]:
    """The order's id, and what to hand back in order to see it."""
    order, raw = request
    return order, (await expect(line, raw, 202)).header("Daybook-After")


async def own(line: Line, key: str, order: str, token: str) -> None:
    wish = f"Daybook-After: {token}\r\nPrefer: wait={LATE_S:.0f}\r\n"
    await expect(line, get_request(f"/orders/{order}", key, wish), 200)


async def expect(line: Line, request: bytes, status: int) -> Reply:
    reply = await line.ask(request)
    if reply.status != status:
        raise click.ClickException(f"{reply.status} instead of {status}: {reply.body.decode()[:300]}")
    return reply


class Watch:
    """An outside observer of the read database, on a connection of its own; `looks` is how long each look took."""

    def __init__(self, row: Any) -> None:
        self._row, self.looks = row, list[float]()

    async def until_visible(self, order: str, token: str) -> None:
        """Looks again and again. Raises `click.ClickException` when the row does not come."""
        deadline, seen = perf_counter() + LATE_S, None
        while seen is None:
            begun = perf_counter()
            seen = await self._row.fetchval(order)
            if seen is None:
                sleep(BETWEEN_LOOKS_S)  # noqa: ASYNC251  # nothing else runs in this loop meanwhile
            self.looks.append(perf_counter() - begun)
            if begun > deadline:
                raise click.ClickException(f"the order {order} is not visible after {LATE_S:g} s")


async def idle_cpu(system: System, seconds: float) -> dict[str, float]:
    """Percent of one core that each process used, with its children, over so many seconds without a request."""
    before, begun = cpu_of(system), perf_counter()
    await asyncio.sleep(seconds)
    elapsed = perf_counter() - begun
    return {name: round(100 * (used - before[name]) / elapsed, 2) for name, used in cpu_of(system).items()}


def cpu_of(system: System) -> dict[str, float]:
    """CPU seconds so far by process; the supervisor's own are without those that it keeps running."""
    used = {name: sum(map(own_cpu, tree(pid))) for name, pid in system.pids.items()}
    return used | {"supervisor": own_cpu(psutil.Process(system.process.pid))}


def tree(pid: int) -> list[psutil.Process]:
    process = psutil.Process(pid)
    return [process, *process.children(recursive=True)]


def own_cpu(process: psutil.Process) -> float:
    found = process.cpu_times()
    return float(found.user + found.system)


def times(seconds: Sequence[float]) -> Times:
    ascending = sorted(seconds)
    return Times(
        len(ascending),
        quantile_ms(ascending, 0.50),
        quantile_ms(ascending, 0.99),
        round(max(ascending) * 1000, 1),
        sum(each > OUTLIER_MS / 1000 for each in ascending),
    )


def show(found: Idle, console: Console) -> None:
    table = Table(title=f"one order at a time on an idle system, {found.pause_s:g} s apart; ms")
    for heading in ("", "tries", "p50", "p99", "max", "over 100 ms"):
        table.add_column(heading, justify="right" if heading else "left")
    rows = {"POST to 202": found.accepted, "202 to row visible": found.visible, "202 to own GET": found.read}
    for name, each in rows.items():
        table.add_row(name, f"{each.n}", f"{each.p50_ms}", f"{each.p99_ms}", f"{each.max_ms}", f"{each.over_100_ms}")
    console.print(table)
    console.print(f"From one look at the row to the next {found.poll_ms} ms pass.", highlight=False)
    console.print(f"CPU while nothing is asked, {found.idle_s:g} s; percent of one core:", highlight=False)
    cpu = Table()
    cpu.add_column("process")
    cpu.add_column("%", justify="right")
    for name, share in sorted(found.cpu.items(), key=lambda pair: -pair[1]):
        cpu.add_row(name, f"{share:.2f}")
    cpu.add_row("together", f"{found.cpu_together:.2f}", style="bold")
    console.print(cpu)
    for goal, met in found.goals.items():
        console.print(f"{'met' if met else 'MISSED'}: {goal}", highlight=False)


if __name__ == "__main__":
    main()
