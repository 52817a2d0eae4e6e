"""Watching a subject of a bucket by a push consumer: all that who has the role `watch` may ask (`permissions.py`)."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.bus.api import ApiError, ask_jetstream
from common.bus.place import PLACED, parse_place

SECOND = 1_000_000_000
HEARTBEAT, INACTIVE = 1 * SECOND, 30 * SECOND
"""In nanoseconds, as the server takes them."""
SILENCE_S = 2.5
RETRY_S = 0.25


async def watched(nc: Client, stream: str, subject: str) -> AsyncGenerator[Msg, None]:
    """The last message, and then each that comes, for ever.

    A consumer that falls silent or has a gap is made anew, and begins with the last message again. Raises nats-py's
    `ConnectionClosedError` once the connection has been closed for good.
    """
    inbox, tries = nc.new_inbox(), 0
    while not nc.is_closed:
        tries += 1
        name = f"{inbox.rsplit('.', 1)[1]}_{tries}"
        subscription = await nc.subscribe(f"{inbox}.{tries}")
        try:
            await _consumer(nc, stream, subject, name, f"{inbox}.{tries}")
            expected = 1
            while message := await _next(subscription, expected):
                if message.reply:
                    expected += 1
                    yield message
        except (ApiError, nats.errors.Error):
            await asyncio.sleep(RETRY_S)
        finally:
            await _end(nc, stream, name, subscription)
    raise nats.errors.ConnectionClosedError


async def _consumer(nc: Client, stream: str, subject: str, name: str, inbox: str) -> None:
    config: dict[str, Any] = {
        "name": name,
        "deliver_subject": inbox,
        "deliver_policy": "last_per_subject",
        "filter_subject": subject,
        "ack_policy": "none",
        "idle_heartbeat": HEARTBEAT,
        "inactive_threshold": INACTIVE,
        "mem_storage": True,
    }
    question = {"stream_name": stream, "config": config, "action": "create"}
    await ask_jetstream(nc, f"CONSUMER.CREATE.{stream}.{name}.{subject}", question)


async def _next(subscription: Any, expected: int) -> Msg | None:
    """The next message, or a heartbeat, which has no reply; None when messages are missing or nothing came."""
    try:
        message: Msg = await subscription.next_msg(timeout=SILENCE_S)
    except TimeoutError:
        return None
    if message.reply.encode().startswith(PLACED):
        return message if parse_place(message.reply).consumer_sequence == expected else None
    return message if int((message.headers or {}).get("Nats-Last-Consumer", 0)) < expected else None


async def _end(nc: Client, stream: str, name: str, subscription: Any) -> None:
    """Deletes the consumer if the server can be reached, else it goes by itself."""
    if not nc.is_connected:
        return
    try:
        await subscription.unsubscribe()
        await ask_jetstream(nc, f"CONSUMER.DELETE.{stream}.{name}", {})
    except (ApiError, nats.errors.Error):
        pass
