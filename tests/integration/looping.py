"""A projector whose model gets stuck at an event: `python -m tests.integration.looping blocking|awaiting`.

It runs our own projection under the name of a real model, and stops at the first event that comes.
"""

import asyncio
import sys
from typing import Any

from msgspec.structs import replace

from common.bus.connect import connect
from common.config import Settings
from common.shell.projection import Projection
from common.store.pool import open_pool
from common.store.reader import EventReader
from projectors.orders import MODEL


def block(*arguments: Any) -> None:
    while True:
        pass


async def await_for_ever(*arguments: Any) -> None:
    await asyncio.Event().wait()


async def run(how: str) -> None:
    settings = Settings.from_env()
    nc = await connect(settings, "projectors")
    writes = await open_pool(settings.read_dsn, "writer", 4)
    reader = EventReader(await open_pool(settings.write_dsn("order"), "reader", 2), "order")
    model = replace(MODEL, apply=block) if how == "blocking" else MODEL
    projection = Projection(nc, writes, [model], {"order": reader})
    if how == "awaiting":
        rows = projection.followers[model.name]._rows
        rows.write = await_for_ever  # type: ignore[method-assign, assignment]
    await projection.run()


if __name__ == "__main__":
    asyncio.run(run(sys.argv[1]))
