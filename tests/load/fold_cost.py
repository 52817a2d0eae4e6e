"""What it costs to combine events instead of reading a table: the same product asked for both ways, in one run.

    python -m tests.load.fold_cost [--events 10,1000,100000] [--tries 500] [--seconds 10] [--json FILE]

Products are made whose prices were changed so often that their streams hold this many events, by NATS, in a system of
its own in a temporary folder. Then each is asked for over HTTP, one request at a time: `GET /products/{sku}` reads the
row, `?as_of=now` folds the stream. While the longest stream is folded, the same process is asked for its head again and
again: how long that takes says whether a long fold holds up what else the process does.
"""

from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from time import perf_counter
from typing import Any

import click
import msgspec
import uvloop
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from common.client import Client, connect
from contexts.product.commands import AddProduct, ChangePrice
from tests.load.measure import cpu_seconds
from tests.load.wire import Line, get_request, open_line
from tests.servers import System, running_system, temporary_data, until

PRINCIPAL = "operator"
TOGETHER = 512
WARM_UP = 3
WAYS = {"table": "", "fold": "?as_of=now"}
PARTS = ("gateway", "context-product", "postgres-read", "postgres-write")


class Cost(Struct, frozen=True):
    """One stream asked for in one way. `cpu_ms` is of all parts together, for one answer."""

    events: int
    way: str
    tries: int
    p50_ms: float
    p99_ms: float
    cpu_ms: float
    cpu_parts_ms: dict[str, float]


class Costs(Struct, frozen=True):
    """All of them; `figures` name the ratio of fold to table by stream, and how long the head took beside a fold."""

    costs: list[Cost]
    figures: dict[str, float]


@click.command()
@click.option("--events", default="10,1000,100000", show_default=True, help="Streams of so many events.")
@click.option("--tries", default=500, show_default=True, type=click.IntRange(1, 100_000), help="Of each, at most.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1, 600), help="For each, at most.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(events: str, tries: int, seconds: float, file: Path | None) -> None:
    """Compare folding a stream with reading the table."""
    costs = uvloop.run(on_its_own([int(each) for each in events.split(",")], tries, seconds))
    show(costs, Console())
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(costs)))


async def on_its_own(streams: Sequence[int], tries: int, seconds: float) -> Costs:
    with temporary_data() as data:
        async with running_system(data) as system:
            return await measured(system, streams, tries, seconds)


async def measured(system: System, streams: Sequence[int], tries: int, seconds: float) -> Costs:
    settings = system.settings
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(
            connect(settings.nats_url, PRINCIPAL, settings.password(PRINCIPAL), within=30)
        )
        line = await open_line(settings.http_host, settings.http_port)
        stack.callback(line.close)
        key = settings.api_key(PRINCIPAL)
        for events in streams:
            await make(client, line, key, events)
        costs = [await asked(system, line, key, events, way, tries, seconds) for events in streams for way in WAYS]
        beside = await head_beside(client, line, key, max(streams))
    return Costs(costs, figures(costs) | beside)


async def make(client: Client, line: Line, key: str, events: int) -> None:
    """A product with a stream of so many events, visible in the table."""
    name = sku(events)
    example: dict[str, Any] = AddProduct.declared.example | {"product_id": name, "sku": name}
    await client.wait(await client.send(msgspec.convert(example, AddProduct)))
    for first in range(1, events, TOGETHER):
        numbers = range(first, min(first + TOGETHER, events))
        await client.send_many([ChangePrice(name, 1000 + number) for number in numbers])
    request = get_request(f"/products/{name}", key)

    async def visible() -> bool:
        reply = await line.ask(request)
        return reply.status == 200 and msgspec.json.decode(reply.body)["version"] == events

    await until(visible, 300, f"{events} events to be visible")


def sku(events: int) -> str:
    return f"changed-{events}"


async def asked(system: System, line: Line, key: str, events: int, way: str, tries: int, seconds: float) -> Cost:
    """Asks again and again. Raises `AssertionError` when an answer is not the state after the last event."""
    request = get_request(f"/products/{sku(events)}{WAYS[way]}", key)
    for _ in range(WARM_UP):
        await line.ask(request)
    pids = {name: system.pids[name] for name in PARTS}
    times: list[float] = []
    before, begun = cpu_seconds(pids), perf_counter()
    while len(times) < tries and (not times or perf_counter() - begun < seconds):
        asked_at = perf_counter()
        reply = await line.ask(request)
        times.append(perf_counter() - asked_at)
        assert reply.status == 200, reply.body
    used = {name: (cpu_seconds(pids)[name] - before[name]) * 1000 / len(times) for name in PARTS}
    found = msgspec.json.decode(reply.body)
    assert found["version"] == events
    times.sort()
    parts = {name: round(ms, 3) for name, ms in used.items()}
    total = round(sum(used.values()), 3)
    return Cost(events, way, len(times), quantile_ms(times, 0.5), quantile_ms(times, 0.99), total, parts)


def quantile_ms(ascending: Sequence[float], share: float) -> float:
    return round(ascending[int(len(ascending) * share)] * 1000, 2)


async def head_beside(client: Client, line: Line, key: str, events: int) -> dict[str, float]:
    """How long the product's process takes for its head: alone, and while it folds the stream."""
    alone, beside = [], []
    for _ in range(200):
        alone.append(await head_takes(client))
    for _ in range(5):
        folding = line.ask(get_request(f"/products/{sku(events)}{WAYS['fold']}", key))
        while not folding.done():
            beside.append(await head_takes(client))
    alone.sort()
    beside.sort()
    names = {"head_alone": alone, "head_beside_a_fold": beside}
    found = {f"{name}_p50_ms": quantile_ms(times, 0.5) for name, times in names.items()}
    found |= {f"{name}_p99_ms": quantile_ms(times, 0.99) for name, times in names.items()}
    return found | {f"{name}_max_ms": round(times[-1] * 1000, 2) for name, times in names.items()}


async def head_takes(client: Client) -> float:
    begun = perf_counter()
    await client.ask_named("ProductHead", {})
    return perf_counter() - begun


def figures(costs: Sequence[Cost]) -> dict[str, float]:
    found = {(cost.events, cost.way): cost for cost in costs}
    ratios: dict[str, float] = {}
    for events in {cost.events: None for cost in costs}:
        fold, table = found[events, "fold"], found[events, "table"]
        ratios[f"fold_vs_table_{events}_p50"] = round(fold.p50_ms / max(table.p50_ms, 0.01), 1)
        ratios[f"fold_vs_table_{events}_cpu"] = round(fold.cpu_ms / max(table.cpu_ms, 0.001), 1)
    return ratios


def show(costs: Costs, console: Console) -> None:
    table = Table(title="the same product: read from the table, and folded from its events")
    for heading in ("events", "way", "p50 ms", "p99 ms", "CPU ms", "tries"):
        table.add_column(heading, justify="left" if heading == "way" else "right")
    for cost in costs.costs:
        table.add_row(
            f"{cost.events:,}", cost.way, f"{cost.p50_ms:,.2f}", f"{cost.p99_ms:,.2f}", f"{cost.cpu_ms:,.2f}",
            f"{cost.tries:,}",
        )  # fmt: skip
    console.print(table)
    told = costs.figures
    console.print(
        f"The process that folds is asked for its head meanwhile: p99 {told['head_beside_a_fold_p99_ms']} ms, at most "
        f"{told['head_beside_a_fold_max_ms']}; alone p99 {told['head_alone_p99_ms']}, at most "
        f"{told['head_alone_max_ms']}.",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
