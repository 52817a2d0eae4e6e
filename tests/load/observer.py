"""An outside observer: `python -m tests.load.observer [seconds] [orders/s]`, while a system runs under `daybook up`.

It never asks Daybook what Daybook knows. It polls the read database for the position that a model's checkpoint and rows
show, and the write database for what is recorded and since when, and compares both with what `/consistency-lag` says at
that moment, and the quantiles of recorded to visible with its own. Both databases must share a clock with it: all on
one machine. The endpoint's answer lies between two looks of the observer's; it is compared with the nearer bound.
"""

import asyncio
import sys
from collections.abc import Sequence
from time import monotonic
from typing import Any

import asyncpg
import httpx

from common.config import ConfigError, Settings
from gateway.cli.keepalive import KeepAlive
from tests.integration.ordering import BODY, PRINCIPAL

MODEL, CONTEXT = "orders", "order"
POLL_S, ASK_S = 0.001, 0.05
CONNECTIONS = 32
SEEN = "SELECT position FROM read.checkpoints WHERE model = $1 AND context = $2"
BEHIND = """SELECT head.position - $1::bigint,
    coalesce(extract(epoch FROM clock_timestamp() - next.recorded_at) * 1000, 0)
    FROM "order".head LEFT JOIN "order".events AS next ON next.position = $1 + 1"""
TIMES = """SELECT position, extract(epoch FROM recorded_at)::float8
    FROM "order".events WHERE position > $1 AND position <= $2"""
NOW = "SELECT extract(epoch FROM clock_timestamp())::float8"


class Observer:
    """What was seen: the differences from the endpoint, and how long events took to become visible."""

    def __init__(self, write: Any, read: Any, http: httpx.AsyncClient) -> None:
        self._write, self._read, self._http = write, read, http
        self.off_ms: list[float] = []
        self.off_events: list[float] = []
        self.visible: list[tuple[int, float]] = []
        self.busy = self.unknown = 0

    async def compare(self, until: float) -> None:
        """Looks, asks, and looks again, at many moments."""
        async with self._read.acquire() as read:
            while monotonic() < until:
                before = await self._look(read)
                line = (await self._http.get(f"/consistency-lag/{MODEL}")).json()["read_models"][0]
                after = await self._look(read)
                if "unknown" in (line["events"], line["ms"]):
                    self.unknown += 1
                else:
                    self.busy += line["events"] > 0
                    self.off_events.append(outside(line["events"], before[0], after[0]))
                    self.off_ms.append(outside(line["ms"], before[1], after[1]))
                await asyncio.sleep(ASK_S)

    async def _look(self, read: Any) -> tuple[float, float]:
        position = await read.fetchval(SEEN, MODEL, CONTEXT) or 0
        events, ms = await self._write.fetchrow(BEHIND, position)
        return float(events), float(ms)

    async def poll(self, until: float) -> None:
        """Notes when the read database first shows each position, by the write database's clock."""
        async with self._read.acquire() as read, self._write.acquire() as write:
            shown = await read.fetchval(SEEN, MODEL, CONTEXT) or 0
            offset = await write.fetchval(NOW) - monotonic()
            while monotonic() < until:
                position = await read.fetchval(SEEN, MODEL, CONTEXT) or 0
                if position > shown:
                    self.visible.append((position, monotonic() + offset))
                    shown = position
                await asyncio.sleep(POLL_S)

    async def durations(self, since: int) -> list[float]:
        """Milliseconds from recorded to visible, of each event that came while it looked."""
        found: list[float] = []
        for position, at in self.visible:
            found += [(at - recorded) * 1000 for _, recorded in await self._write.fetch(TIMES, since, position)]
            since = position
        return found


def outside(value: float, one: float, other: float) -> float:
    """How far a value lies outside of two others."""
    low, high = sorted((one, other))
    return max(low - value, value - high, 0.0)


async def load(seconds: float, rate: float) -> None:
    """Orders at a rate, each under an id of its own."""
    settings = Settings.from_env()
    began, tasks = monotonic(), set[asyncio.Task[Any]]()
    url, key = f"http://127.0.0.1:{settings.http_port}", settings.api_key(PRINCIPAL)
    doors = [KeepAlive(url, key) for _ in range(CONNECTIONS)]
    for n in range(int(seconds * rate)):
        await asyncio.sleep(max(began + n / rate - monotonic(), 0))
        task = asyncio.create_task(doors[n % CONNECTIONS].post("/orders", BODY))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks, return_exceptions=True)


async def observe(seconds: float, rate: float) -> list[str]:
    """A line for each figure."""
    settings = Settings.from_env()
    url, headers = f"http://127.0.0.1:{settings.http_port}", {"X-API-Key": settings.api_key(PRINCIPAL)}
    write = await asyncpg.create_pool(settings.write_dsn(CONTEXT), min_size=1, max_size=4)
    read = await asyncpg.create_pool(settings.read_dsn, min_size=1, max_size=4)
    async with httpx.AsyncClient(base_url=url, headers=headers, trust_env=False, timeout=10) as http:
        observer, until = Observer(write, read, http), monotonic() + seconds
        since = await read.fetchval(SEEN, MODEL, CONTEXT) or 0
        # In a process of its own: an observer who is busy sees things late.
        loading = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.load.observer", "load", str(seconds), str(rate)
        )
        await asyncio.gather(observer.compare(until), observer.poll(until))
        await loading.wait()
        await asyncio.sleep(1.2)  # The quantiles come with the next beat.
        line = (await http.get(f"/consistency-lag/{MODEL}")).json()["read_models"][0]
        own = await observer.durations(since)
    await write.close()
    await read.close()
    return report(observer, own, line)


def report(observer: Observer, own: Sequence[float], line: dict[str, Any]) -> list[str]:
    lines = [
        f"{len(observer.off_ms)} comparisons, {observer.busy} with something behind, {observer.unknown} unknown",
        f"lag in ms:     off by p50 {at(observer.off_ms, 0.5):.2f}, p99 {at(observer.off_ms, 0.99):.2f}",
        f"lag in events: off by p50 {at(observer.off_events, 0.5):.0f}, p99 {at(observer.off_events, 0.99):.0f}",
    ]
    for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99)):
        mine, said = at(own, share), line[f"{name}_ms"] or 0.0
        lines.append(
            f"recorded to visible {name}: observer {mine:.2f} ms, endpoint {said:.2f} ms, off by {said - mine:+.2f}"
        )
    return [*lines, f"of {len(own)} events, {line['n']} by the endpoint"]


def at(values: Sequence[float], share: float) -> float:
    """A quantile; nan when there is nothing."""
    return sorted(values)[min(int(share * len(values)), len(values) - 1)] if values else float("nan")


if __name__ == "__main__":
    if sys.argv[1:2] == ["load"]:
        asyncio.run(load(*map(float, sys.argv[2:])))
    else:
        words = [float(word) for word in sys.argv[1:]] + [20.0, 500.0][len(sys.argv) - 1 :]
        try:
            print("\n".join(asyncio.run(observe(*words))))
        except ConfigError as error:
            sys.exit(f"observer: {error}")
