"""Orders by NATS, as many as one client can have stored."""

import asyncio
from collections.abc import Sequence
from itertools import count, cycle, islice
from time import perf_counter

from msgspec.structs import replace

from common.client import connect
from contexts.order.commands import PlaceOrder
from tests.load.closed_loop import Run

SENDERS, TOGETHER = 4, 256
"""So many at a time, each of which sends so many orders together."""


async def send_orders(
    url: str, principal: str, password: str, orders: Sequence[PlaceOrder], prefix: str, seconds: float
) -> Run:
    """Sends orders again and again under new ids for so many seconds. Raises as `Client.send_many`."""
    endless, numbers, sent = cycle(orders), count(), 0
    async with connect(url, principal, password) as client:
        begun = perf_counter()

        async def some() -> None:
            nonlocal sent
            while perf_counter() < begun + seconds:
                wishes = [replace(order, order_id=f"{prefix}-{next(numbers)}") for order in islice(endless, TOGETHER)]
                stored = await client.send_many(wishes)
                sent += len(stored)  # Not in one line with the await: others would add to the same old sum.

        await asyncio.gather(*(some() for _ in range(SENDERS)))
        return Run(perf_counter() - begun, {202: sent}, [])
