"""Load over HTTP: what does this system hold?

python -m tests.load.http --own                          # a system of its own, 128 connections, 30 s
python -m tests.load.http --rate 500 --seconds 60        # the `daybook up` of this folder, 500 requests a second
python -m tests.load.http --rate 500 --mix place=1 --max-p99-ms 50 --max-errors 0 --json out.json
"""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import click

from tests.load.driving.by_http import HttpLane, Prepared
from tests.load.driving.mix import Material, Orders
from tests.load.driving.run import Lane
from tests.load.driving.script import options, run
from tests.load.driving.target import Target


@click.command()
@options
@click.option("--reach", is_flag=True, help="Also tell what this client reaches against a server that does nothing.")
def main(**given: Any) -> None:
    """Put load on the gateway: an open loop at a --rate, or a closed loop over --connections."""
    run("HTTP", opened, **given)


@asynccontextmanager
async def opened(target: Target, material: Material, orders: Orders, lanes: int) -> AsyncIterator[Sequence[Lane]]:
    prepared = Prepared(target.key, material)
    found = [HttpLane(target.host, target.port, prepared, orders) for _ in range(lanes)]
    try:
        yield found
    finally:
        for lane in found:
            lane.close()


if __name__ == "__main__":
    main()
