"""Hearing of a stream's next events, as the relay publishes them: before any read model shows them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.recorded import POSITION_HEADER, VERSION, VERSION_HEADER

Heard = Callable[[float], Awaitable[dict[str, int]]]
"""Waits for an event, at most so many seconds; the last positions heard since the call before, by context."""


@asynccontextmanager
async def happenings(nc: Client, stream: str) -> AsyncIterator[Heard]:
    """Hears the events of this stream, in every context, from the moment that the block is entered."""
    positions: dict[str, int] = {}
    changed = asyncio.Event()

    async def hear(message: Msg) -> None:
        headers = message.headers or {}
        position = headers.get(POSITION_HEADER, "")
        if headers.get(VERSION_HEADER) == VERSION and position.isdecimal():
            positions[message.subject.split(".")[1]] = int(position)
            changed.set()

    async def next_one(within: float) -> dict[str, int]:
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), within)
        changed.clear()
        heard = positions.copy()
        positions.clear()
        return heard

    subscription = await nc.subscribe(f"event.*.*.{stream}", cb=hear)
    try:
        await nc.flush()
        yield next_one
    finally:
        with suppress(nats.errors.Error):  # The connection is gone, and the subscription with it.
            await subscription.unsubscribe()
