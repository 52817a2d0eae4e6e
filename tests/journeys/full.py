"""Journeys at full size, each on a system of its own; what a test asserts of a few is asserted of all of these.

python -m tests.journeys.full idle                              # one after another: how long until confirmed
python -m tests.journeys.full speed --orders 2000               # as many as go: confirmed a second, delivered a second
python -m tests.journeys.full stopped --seconds 60 --rate 100   # payment stands still for so long under load
python -m tests.journeys.full killed --orders 2000              # every part dies in the middle of it, again and again
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import quantiles

import click

from tests.journeys.faults import still
from tests.journeys.many import all_delivered, crowd
from tests.journeys.shop import Shop, opened
from tests.servers import running_system, temporary_data

SITES, CUSTOMERS = 10, 100
PATIENCE_S = 600.0


def on_its_own(work: Callable[[Shop], Awaitable[None]]) -> None:
    """Does the work on a system of its own."""

    async def run() -> None:
        with temporary_data() as folder:
            async with running_system(folder) as system, opened(system) as shop:
                await work(shop)

    asyncio.run(run())


@click.group(help=__doc__)
def main() -> None: ...


@main.command(help="From the POST to the answer that shows the order confirmed, one order after another.")
@click.option("--orders", default=200, show_default=True)
def idle(orders: int) -> None:
    async def work(shop: Shop) -> None:
        took = []
        async with crowd(shop, orders, mugs=orders) as buyers:
            for order in buyers.orders:
                begun = time.monotonic()
                await shop.done("storefront", f"/orders/{order.id}", order.wish)
                await order.reaches("confirmed")
                took.append(1000 * (time.monotonic() - begun))
            cuts = quantiles(took, n=100)
            click.echo(
                f"{orders} orders, one after another: confirmed after p50 {cuts[49]:.0f} ms, p99 {cuts[98]:.0f} ms"
            )

    on_its_own(work)


@main.command(help="As many as go: how many are confirmed, and delivered, a second.")
@click.option("--orders", default=2000, show_default=True)
def speed(orders: int) -> None:
    async def work(shop: Shop) -> None:
        async with crowd(shop, orders, mugs=orders, sites=SITES, customers=CUSTOMERS) as buyers:
            begun = time.monotonic()
            await buyers.come()
            placed = time.monotonic() - begun
            await buyers.reach("orders", "confirmed", within=PATIENCE_S)
            confirmed = time.monotonic() - begun
            click.echo(f"{orders} orders: taken {orders / placed:.0f}/s, confirmed {orders / confirmed:.0f}/s")
            begun = time.monotonic()
            await buyers.leave()
            await buyers.arrive()
            await buyers.reach("orders", "delivered", within=PATIENCE_S)
            click.echo(f"dispatched, paid and delivered {orders / (time.monotonic() - begun):.0f}/s")
            await buyers.settled(PATIENCE_S)

    on_its_own(work)


@main.command(help="payment stands still while orders come at a rate; all are taken, then paid and delivered, once.")
@click.option("--seconds", default=60, show_default=True)
@click.option("--rate", default=100, show_default=True, help="Orders a second.")
def stopped(seconds: int, rate: int) -> None:
    async def work(shop: Shop) -> None:
        number = seconds * rate
        async with crowd(shop, number, mugs=-(-number // SITES), sites=SITES, customers=CUSTOMERS) as buyers:
            with still(shop.system, "context-payment"):
                answers = await buyers.come(rate)
            begun = time.monotonic()
            click.echo(f"{number} orders in {seconds} s: {dict(answers.statuses)}, slowest {answers.slowest_ms:.0f} ms")
            await buyers.reach("orders", "confirmed", within=PATIENCE_S)
            click.echo(f"all confirmed {time.monotonic() - begun:.1f} s after payment went on")
            await all_delivered(buyers, PATIENCE_S)
            click.echo(f"all delivered, each paid once, after {time.monotonic() - begun:.1f} s")

    on_its_own(work)


@main.command(help="All parts are killed in turn, the whole way from basket to doorstep; all is delivered, once.")
@click.option("--orders", default=2000, show_default=True)
@click.option("--every", default=2.0, show_default=True, help="Seconds from one death to the next.")
def killed(orders: int, every: float) -> None:
    async def work(shop: Shop) -> None:
        async with crowd(shop, orders, mugs=-(-orders // SITES), sites=SITES, customers=CUSTOMERS) as buyers:
            killing = asyncio.create_task(kill_in_turn(shop, every))
            answers = await buyers.come(orders / (every * len(shop.system.pids)))
            await buyers.reach("deliveries", "scheduled", within=PATIENCE_S)
            await buyers.leave()
            await buyers.arrive()
            await buyers.reach("orders", "delivered", within=PATIENCE_S)
            killing.cancel()
            click.echo(f"{dict(answers.statuses)}, {answers.again} sent again")
            await all_delivered(buyers, PATIENCE_S)
            click.echo(f"{orders} orders delivered, each paid once")

    on_its_own(work)


async def kill_in_turn(shop: Shop, every: float) -> None:
    """Until cancelled."""
    while True:
        for part in sorted(shop.system.pids):
            await shop.system.kill_and_wait(part)
            click.echo(f"killed {part}")
            await asyncio.sleep(every)


if __name__ == "__main__":
    main()
