"""How many orders a second: Daybook by HTTP, Daybook by NATS, and the plain synchronous monolith, in turn.

    python -m tests.load.compare [--seconds 8] [--rounds 3] [--json]

Starts both systems on servers of their own in a temporary folder, all on this machine, and sends them real baskets.
`accepted` counts what was answered with success, `visible` the rows in the read table, both per second from the first
request on; a rate of visible orders ends when the last one is visible. The rows of every round are counted.
"""

import asyncio
from collections.abc import Sequence
from statistics import median

import click
import msgspec
from msgspec import Struct
from rich.console import Console
from rich.table import Table

from common.client import body_of
from gateway.cli.baskets import Baskets
from tests.load.closed_loop import closed_loop, post_request
from tests.load.measure import Round, in_a_loop_of_its_own, measured
from tests.load.nats_load import send_orders
from tests.load.systems import Daybook, Monolith, both_systems

BASKETS = 2000
CONNECTIONS = 128
LIMIT_SECONDS = 3.0
PATHS = {
    "monolith": "Monolith",
    "monolith_at_once": "Monolith, at once",
    "http_128": "Daybook, HTTP",
    "nats": "Daybook, NATS",
}
DAYBOOK, MONOLITH = ("http_128", "nats"), ("monolith", "monolith_at_once")
ROUTES = {"monolith_at_once": "/orders/at-once"}


class Comparison(Struct, frozen=True):
    """What came out. A ratio is the median of the rounds' own ratios of visible orders a second."""

    seconds: float
    connections: int
    client_limit_per_s: float
    visible_per_s: dict[str, float]
    accepted_per_s: dict[str, float]
    ratios: dict[str, float]
    rounds: list[Round]


@click.command()
@click.option("--seconds", default=8.0, show_default=True, type=click.FloatRange(0.5, 120), help="Of each run.")
@click.option("--rounds", default=3, show_default=True, type=click.IntRange(1, 20), help="Each has one run of each.")
@click.option("--json", "plain", is_flag=True, help="Print the result as JSON.")
def main(seconds: float, rounds: int, plain: bool) -> None:
    """Compare Daybook with a plain synchronous monolith on this machine."""
    console = Console(stderr=True)
    comparison = asyncio.run(compare(seconds, rounds, console))
    if plain:
        click.echo(msgspec.json.format(msgspec.json.encode(comparison)))
    else:
        show(comparison, Console())


async def compare(seconds: float, rounds: int, console: Console) -> Comparison:
    """Start the systems, run the rounds, stop the systems."""
    with Baskets(BASKETS) as baskets:
        orders = [basket.order for basket in baskets]
    bodies = [body_of(order) for order in orders]
    done: list[Round] = []
    console.print(f"{len(bodies)} real baskets, {sum(map(len, bodies)) // len(bodies)} bytes on average; starting")
    async with both_systems() as (daybook, monolith):
        limit = await client_limit(monolith, bodies)
        for number in range(rounds):
            for path in PATHS:
                system = monolith if path.startswith("monolith") else daybook
                if path == "nats":
                    load = send_orders(*daybook.nats, orders, f"round-{number}", seconds)
                else:
                    load = closed_loop(*by_http(system, bodies, ROUTES.get(path, "/orders")), CONNECTIONS, seconds)
                done.append(await measured(path, system, daybook.pids | monolith.pids, load))
                console.print(f"round {number + 1}, {PATHS[path]}: {done[-1].visible_per_s:,.0f} visible orders/s")
    return summary(seconds, limit, done)


def by_http(system: Daybook | Monolith, bodies: Sequence[bytes], route: str) -> tuple[int, list[bytes]]:
    return system.port, [post_request(route, system.key, body) for body in bodies]


async def client_limit(monolith: Monolith, bodies: Sequence[bytes]) -> float:
    """What the client reaches with a route that reads the body and does nothing: no figure above it means anything."""
    requests = [post_request("/nothing", monolith.key, body) for body in bodies]
    run = await in_a_loop_of_its_own(closed_loop(monolith.port, requests, CONNECTIONS, LIMIT_SECONDS))
    return round(run.accepted / run.seconds, 1)


def summary(seconds: float, limit: float, rounds: list[Round]) -> Comparison:
    visible = {path: [run.visible_per_s for run in rounds if run.path == path] for path in PATHS}
    accepted = {path: [run.accepted_per_s for run in rounds if run.path == path] for path in PATHS}

    def ratio(path: str, other: str) -> float:
        pairs = zip(visible[path], visible[other], strict=True)
        return round(median(ours / theirs for ours, theirs in pairs), 2)

    return Comparison(
        seconds=seconds,
        connections=CONNECTIONS,
        client_limit_per_s=limit,
        visible_per_s={path: median(rates) for path, rates in visible.items()},
        accepted_per_s={path: median(rates) for path, rates in accepted.items()},
        ratios={f"{path}_vs_{other}": ratio(path, other) for path in DAYBOOK for other in MONOLITH},
        rounds=rounds,
    )


def show(comparison: Comparison, console: Console) -> None:
    """The medians as a table, and what the client could have reached."""
    table = Table(title=f"orders a second, median of {len(comparison.rounds) // len(PATHS)} rounds")
    for heading in ("", "accepted", "visible", "p50 ms", "p99 ms", "to monolith", "to at once"):
        table.add_column(heading, justify="right" if heading else "left")
    for path, name in PATHS.items():
        runs = [run for run in comparison.rounds if run.path == path]
        table.add_row(
            name,
            f"{comparison.accepted_per_s[path]:,.0f}",
            f"{comparison.visible_per_s[path]:,.0f}",
            milliseconds([run.p50_ms for run in runs]),
            milliseconds([run.p99_ms for run in runs]),
            *(f"{ratio:.2f} x" if (ratio := comparison.ratios.get(f"{path}_vs_{o}")) else "" for o in MONOLITH),
        )
    console.print(table)
    console.print("The monolith writes an order as a transaction of three statements; at once: as one statement.")
    console.print(
        f"The client itself reaches {comparison.client_limit_per_s:,.0f} requests/s with a route that does nothing."
    )


def milliseconds(times: list[float]) -> str:
    return f"{median(times):.1f}" if any(times) else ""


if __name__ == "__main__":
    main()
