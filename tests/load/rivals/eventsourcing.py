"""The PyPI library `eventsourcing`, used as its manual shows: an application saves an aggregate an order to Postgres.

    python -m tests.load.rivals.eventsourcing <file of bodies, one a line>

with the library on the path and its POSTGRES_* variables in the environment. It says `ready`, and for each line
`<threads> <seconds>` of its input places orders with so many threads and says what came of it as one line of JSON.
Default settings: the recorder locks its table for each save, so that its positions have no gaps that a reader could
fall into.
"""

import json
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from importlib import import_module
from itertools import cycle
from pathlib import Path
from time import perf_counter
from typing import Any

domain: Any = import_module("eventsourcing.domain")
application: Any = import_module("eventsourcing.application")


class Order(domain.Aggregate):  # type: ignore[misc]  # The library is not among the project's requirements.
    class Placed(domain.Aggregate.Created):  # type: ignore[misc]
        """All that was said when the order was placed."""

        order: dict[str, Any]

    @domain.event(Placed)  # type: ignore[untyped-decorator]
    def __init__(self, order: dict[str, Any]) -> None:
        self.state = "placed"
        self.total = sum(line["amount"] for line in order["lines"])


class Shop(application.Application):  # type: ignore[misc]
    def place(self, order: dict[str, Any]) -> None:
        self.save(Order(order=order))


def placing(shop: Any, orders: Iterator[dict[str, Any]], until: float) -> list[float]:
    """How long each order took, in seconds."""
    latencies = []
    while (begun := perf_counter()) < until:
        shop.place(next(orders))
        latencies.append(perf_counter() - begun)
    return latencies


def run(shop: Any, orders: Iterator[dict[str, Any]], threads: int, seconds: float) -> dict[str, Any]:
    begun = perf_counter()
    with ThreadPoolExecutor(threads) as workers:
        working = [workers.submit(placing, shop, orders, begun + seconds) for _ in range(threads)]
        latencies = sorted(latency for each in working for latency in each.result())
    return {"seconds": perf_counter() - begun, "statuses": {"201": len(latencies)}, "latencies": latencies}


def main(bodies: Path) -> None:
    orders = cycle([json.loads(line) for line in bodies.read_text().splitlines()])
    shop = Shop(env={"PERSISTENCE_MODULE": "eventsourcing.postgres"})
    print("ready", flush=True)
    for line in sys.stdin:
        threads, seconds = line.split()
        print(json.dumps(run(shop, orders, int(threads), float(seconds))), flush=True)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
