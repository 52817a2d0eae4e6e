"""Hearing of a stream's next events, as the relay publishes them: before any read model shows them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from time import monotonic

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.recorded import POSITION_HEADER, VERSION, VERSION_HEADER
from common.shell.unanswered import Unanswered
from common.shell.wish import After

Heard = Callable[[float], Awaitable[list[After]]]
"""Waits for an event, at most so many seconds; the last positions heard since the call before."""
AT_LEAST_S = 0.25


@asynccontextmanager
async def happenings(nc: Client, stream: str, deadline: float) -> AsyncIterator[Heard]:
    """Hears the events of this stream, in every context, from the moment that the block is entered.

    Raises `Unanswered` when the bus does not say by the deadline (monotonic) that it has taken note.
    """
    positions: dict[str, int] = {}
    changed = asyncio.Event()

    async def hear(message: Msg) -> None:
        headers = message.headers or {}
        position = headers.get(POSITION_HEADER, "")
        if headers.get(VERSION_HEADER) == VERSION and position.isdecimal():
            positions[message.subject.split(".")[1]] = int(position)
            changed.set()

    async def next_one(within: float) -> list[After]:
        with suppress(TimeoutError):
            await asyncio.wait_for(changed.wait(), within)
        changed.clear()
        heard = [After(context, position=position) for context, position in positions.items()]
        positions.clear()
        return heard

    subscription = await nc.subscribe(f"event.*.*.{stream}", cb=hear)
    try:
        await noted(nc, max(deadline - monotonic(), AT_LEAST_S))
        yield next_one
    finally:
        with suppress(nats.errors.Error):  # The connection is gone, and the subscription with it.
            await subscription.unsubscribe()


async def noted(nc: Client, within: float) -> None:
    """Returns when the server has taken note of what was subscribed. Raises `Unanswered`."""
    try:
        async with asyncio.timeout(within):
            await nc.flush()
    except (nats.errors.Error, TimeoutError):
        raise Unanswered(503, "bus-away", "the message bus does not answer; ask again") from None
