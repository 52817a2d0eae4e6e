"""The same questions about real data, answered by folding events and by reading a table, which must agree.

    python -m tests.load.fold_or_table --data FOLDER [--tries 200] [--seconds 10] [--json FILE]

Starts the system on the data that tests.load.year has kept (`--keep FOLDER`). An order, and all that the site with the
longest stream has, are asked for over HTTP, one request at a time: as they stand in the table, and `as_of=now`, which
folds the stream. What each department has brought in is read from the table of sales, and added up from every event of
every order, by this very process.
"""

import asyncio
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from time import perf_counter
from typing import Any

import asyncpg
import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from common.codec import EventCodec
from common.config import Settings
from common.store.pool import open_pool
from common.store.reader import EventReader
from contexts.order.events import OrderCancelled, OrderPlaced, OrderRefunded
from tests.load.fold_cost import quantile_ms
from tests.load.queries import is_up
from tests.load.wire import Line, get_request, open_line
from tests.servers import System, running_system, until

PRINCIPAL = "storefront"
PAGE = 5000
LONGEST = "SELECT stream, count(*) FROM stock.events GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 1"
SOME_ORDERS = "SELECT order_id FROM read.orders ORDER BY random() LIMIT $1"


class Way(Struct, frozen=True):
    """One question in one way: of how many events or rows the answer is made, and how long that takes."""

    question: str
    way: str
    made_of: int
    tries: int
    p50_ms: float
    p99_ms: float


@click.command(help=__doc__)
@click.option("--data", "folder", required=True, type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--tries", default=200, show_default=True, type=click.IntRange(1, 100_000), help="Of each, at most.")
@click.option("--seconds", default=10.0, show_default=True, type=click.FloatRange(0.1, 600), help="For each, at most.")
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(folder: Path, tries: int, seconds: float, file: Path | None) -> None:
    found = asyncio.run(on_kept_data(folder, tries, seconds))
    show(found, Console())
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


async def on_kept_data(folder: Path, tries: int, seconds: float) -> list[Way]:
    async with running_system(folder / "data") as system:
        return await compared(system, tries, seconds)


async def compared(system: System, tries: int, seconds: float) -> list[Way]:
    """All questions in both ways. Raises `AssertionError` when the two do not agree."""
    settings, key = system.settings, system.settings.api_key(PRINCIPAL)
    line = await open_line(settings.http_host, settings.http_port)
    asker = Asker(line, key, tries, seconds)
    try:
        await until(lambda: is_up(line, key), 120, "all read models to be live")
        return [*await orders(settings, asker), *await a_site(settings, asker), *await departments(settings, asker)]
    finally:
        line.close()


class Asker:
    """Asks over HTTP, one request at a time, so often and so long at most."""

    def __init__(self, line: Line, key: str, tries: int, seconds: float) -> None:
        self._line, self._key, self._tries, self._seconds = line, key, tries, seconds

    async def answer(self, path: str) -> Any:
        reply = await self._line.ask(get_request(path, self._key))
        assert reply.status == 200, reply.body
        return msgspec.json.decode(reply.body)

    async def pages(self, path: str, rows: str) -> list[Any]:
        """What stands on all pages."""
        found, after = [], ""
        while True:
            answer = await self.answer(f"{path}{'&' if '?' in path else '?'}limit=500{after}")
            found += answer[rows]
            if not answer["next"]:
                return found
            after = f"&after={answer['next']}"

    async def times(self, paths: Sequence[str], rows: str = "") -> list[float]:
        """How long each answer takes, in seconds, ascending; with `rows`, all pages of it. The first does not count."""
        times: list[float] = []
        begun = perf_counter()
        while len(times) <= self._tries and (len(times) < 2 or perf_counter() - begun < self._seconds):
            path, asked_at = paths[len(times) % len(paths)], perf_counter()
            await (self.pages(path, rows) if rows else self.answer(path))
            times.append(perf_counter() - asked_at)
        return sorted(times[1:])


async def orders(settings: Settings, asker: Asker) -> list[Way]:
    connection = await asyncpg.connect(settings.read_dsn)
    ids = [row[0] for row in await connection.fetch(SOME_ORDERS, 200)]
    await connection.close()
    row, fold = await asker.answer(f"/orders/{ids[0]}"), await asker.answer(f"/orders/{ids[0]}?as_of=now")
    assert row["version"] == fold["version"]
    question = "an order"
    read = await asker.times([f"/orders/{each}" for each in ids])
    folded = await asker.times([f"/orders/{each}?as_of=now" for each in ids])
    return [way(question, "a row", 1, read), way(question, "its events, folded", fold["version"], folded)]


async def a_site(settings: Settings, asker: Asker) -> list[Way]:
    connection = await asyncpg.connect(settings.write_dsn("stock"))
    longest = await connection.fetchrow(LONGEST)
    await connection.close()
    assert longest
    site, events = longest
    path = f"/stock/{site}"
    rows = await asker.pages(path, "levels")
    levels = {each["sku"]: each["on_hand"] for each in rows if each["on_hand"]}  # The fold forgets what is gone.
    fold = await asker.answer(f"{path}?as_of=now")
    assert (fold["version"], fold["state"]["on_hand"]) == (events, levels)
    question = f"all that {site} has"
    read, folded = await asker.times([path], "levels"), await asker.times([f"{path}?as_of=now"])
    return [
        way(question, "rows, in pages of 500", len(rows), read),
        way(question, "its events, folded", events, folded),
    ]


async def departments(settings: Settings, asker: Asker) -> list[Way]:
    """Net of what was cancelled and paid back; in one currency, which is that of the data."""
    path = "/sales?by=department"
    rows = await asker.pages(path, "sales")
    begun = perf_counter()
    added_up, events = await net_by_department(settings)
    took = perf_counter() - begun
    assert {each["name"]: each["net"] for each in rows if each["net"]} == added_up
    question = "what each department brought in"
    read = await asker.times([path], "sales")
    return [way(question, "rows", len(rows), read), way(question, "all events of orders", events, [took])]


async def net_by_department(settings: Settings) -> tuple[dict[str, int], int]:
    """From every event of every order; and how many there are."""
    codec, net, after = EventCodec((OrderPlaced, OrderCancelled, OrderRefunded)), Counter[str](), 0
    pool = await open_pool(settings.write_dsn("order"), "reader", 1)
    reader = EventReader(pool, "order")
    while page := await reader.page(after, PAGE):
        after = page[-1].position
        for each in page:
            event = codec.decode(each.type, bytes(each.data))
            for line in getattr(event, "lines", ()):
                net[line.department] += line.amount if isinstance(event, OrderPlaced) else -line.amount
    await pool.close()
    return {name: amount for name, amount in net.items() if amount}, after


def way(question: str, name: str, made_of: int, times: Sequence[float]) -> Way:
    return Way(question, name, made_of, len(times), quantile_ms(times, 0.5), quantile_ms(times, 0.99))


def show(found: Sequence[Way], console: Console) -> None:
    table = Table(title="the same question, read from a table and folded from events")
    for place, heading in enumerate(("", "from", "of them", "p50 ms", "p99 ms", "tries")):
        table.add_column(heading, justify="right" if place > 1 else "left")
    for each in found:
        table.add_row(
            each.question,
            each.way,
            f"{each.made_of:,}",
            f"{each.p50_ms:,.1f}",
            f"{each.p99_ms:,.1f}",
            f"{each.tries:,}",
        )
    console.print(table)


if __name__ == "__main__":
    main()
