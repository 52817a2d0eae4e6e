"""`python -m tests.shell.keep_pots <context>`: keeps the pots of a context, in a process that a test may kill."""

import asyncio
import sys
from contextlib import AsyncExitStack

from common.bus.connect import connect
from common.config import Settings
from common.shell.projection import Projection
from common.store.pool import open_pool
from common.store.reader import EventReader
from tests.servers import TEST_USER
from tests.shell.pots import pots


async def keep(context: str) -> None:
    settings = Settings.from_env()
    async with AsyncExitStack() as stack:
        nc = await connect(settings, TEST_USER)
        reads = await stack.enter_async_context(await open_pool(settings.read_dsn, "writer", 2))
        record = await stack.enter_async_context(await open_pool(settings.write_dsn(context), "reader", 2))
        readers = {context: EventReader(record, context)}
        await Projection(nc, reads, [pots(context)], readers, schema=f"read_{context}", batch=40).run()


if __name__ == "__main__":
    asyncio.run(keep(sys.argv[1]))
