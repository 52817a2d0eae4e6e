"""Load over NATS, past the gateway: what does this system hold? `accepted` means stored durably.

python -m tests.load.nats --own --connections 512 --mix place=1
python -m tests.load.nats --rate 1000 --seconds 60
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click

from common.client import connect
from tests.load.driving.by_nats import NatsLane
from tests.load.driving.mix import Material, Orders
from tests.load.driving.run import Lane
from tests.load.driving.script import options, run
from tests.load.driving.target import PRINCIPAL, Target


@click.command()
@options
def main(**given: Any) -> None:
    """Put load on the nats-server: an open loop at a --rate, or a closed loop with --connections requests at a time."""
    run("NATS", opened, **given)


@asynccontextmanager
async def opened(target: Target, material: Material, orders: Orders, lanes: int) -> AsyncIterator[Sequence[Lane]]:
    async with connect(target.nats_url, PRINCIPAL, target.password) as client:
        yield [NatsLane(client, material, orders) for _ in range(lanes)]


if __name__ == "__main__":
    main()
