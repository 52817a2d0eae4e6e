"""Beats: every part of a process says each second how it is, on `beat.<kind>.<name>`."""

import asyncio
import os
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from typing import Any

import msgspec
from nats.aio.client import Client

from common.recorded import VERSION, VERSION_HEADER
from common.shell.leased import ended
from common.shell.outbox import quietly

BEAT_S = 1.0


@asynccontextmanager
async def beating(nc: Client, name: str) -> AsyncIterator[Callable[[str], None]]:
    """Beats for a worker that cannot begin. Yields what wants to be told why."""
    error = ""

    def troubled(text: str) -> None:
        nonlocal error
        error = text

    async def beat() -> None:
        while True:
            await asyncio.sleep(BEAT_S)
            await say(nc, "worker", name, {"partitions": 0, "error": error})

    task = asyncio.ensure_future(beat())
    try:
        yield troubled
    finally:
        await ended([task])


async def say(nc: Client, kind: str, name: str, beat: Mapping[str, Any]) -> None:
    """Says how a part of a context is, to whom it may concern."""
    if nc.is_connected:
        body = msgspec.json.encode({"context": name, "pid": os.getpid(), **beat})
        await quietly(nc.publish(f"beat.{kind}.{name}", body, headers={VERSION_HEADER: VERSION}))
