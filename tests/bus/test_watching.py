"""Watching a subject by a push consumer, on a real server that is killed and whose stream is lost."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any

import nats.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from common.bus.api import ApiError, ask_jetstream
from common.bus.watching import watched
from tests.bus.server import Server, until

CONFIG: dict[str, Any] = {"name": "KV_lamps", "subjects": ["$KV.lamps.>"], "max_msgs_per_subject": 1}
LAMP = "$KV.lamps.hall"


@pytest_asyncio.fixture
async def lamps(nc: Client) -> AsyncIterator[Client]:
    await ask_jetstream(nc, "STREAM.CREATE.KV_lamps", CONFIG)
    yield nc
    await ask_jetstream(nc, "STREAM.DELETE.KV_lamps", {})


async def put(nc: Client, body: bytes) -> None:
    await nc.jetstream().publish(LAMP, body)


async def nobody_watches(nc: Client) -> bool:
    state = (await ask_jetstream(nc, "STREAM.INFO.KV_lamps", {}))["state"]
    return bool(state["consumer_count"] == 0)


async def test_the_last_message_comes_first_and_then_each(lamps: Client) -> None:
    await put(lamps, b"off")
    await put(lamps, b"dim")
    await lamps.jetstream().publish("$KV.lamps.stairs", b"on")
    async with aclosing(watched(lamps, "KV_lamps", LAMP)) as messages:
        assert (await anext(messages)).data == b"dim"
        for body in (b"on", b"off"):
            await put(lamps, body)
            assert (await anext(messages)).data == body
    await until(lambda: nobody_watches(lamps))


async def test_a_watcher_goes_on_when_the_server_was_killed(server: Server, lamps: Client) -> None:
    await put(lamps, b"off")
    async with aclosing(watched(lamps, "KV_lamps", LAMP)) as messages:
        assert (await anext(messages)).data == b"off"
        await server.kill()
        await server.start()
        await until(lambda: answered(lamps))
        await put(lamps, b"on")
        assert await first(messages, b"on")


async def test_a_watcher_goes_on_when_the_stream_was_made_anew(lamps: Client) -> None:
    await put(lamps, b"off")
    async with aclosing(watched(lamps, "KV_lamps", LAMP)) as messages:
        assert (await anext(messages)).data == b"off"
        await ask_jetstream(lamps, "STREAM.DELETE.KV_lamps", {})
        await ask_jetstream(lamps, "STREAM.CREATE.KV_lamps", CONFIG)
        await put(lamps, b"on")
        assert await first(messages, b"on")


async def test_whose_connection_is_closed_is_told_so(server: Server, lamps: Client) -> None:
    await put(lamps, b"off")
    other = await server.connect()
    async with aclosing(watched(other, "KV_lamps", LAMP)) as messages:
        await anext(messages)
        await other.close()
        with pytest.raises(nats.errors.ConnectionClosedError):
            await anext(messages)


async def first(messages: AsyncIterator[Any], body: bytes) -> bool:
    """Whether this comes, whatever comes again before it."""
    async with asyncio.timeout(20):
        while (await anext(messages)).data != body:
            pass
    return True


async def answered(nc: Client) -> bool:
    try:
        await ask_jetstream(nc, "STREAM.INFO.KV_lamps", {}, 0.5)
    except (ApiError, nats.errors.Error):
        return False
    return True
