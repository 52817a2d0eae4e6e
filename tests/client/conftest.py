"""Who plays a real year, connected to the system under test."""

from collections.abc import AsyncIterator

import pytest_asyncio

from common.client import Client, connect
from tests.servers import System


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def replay(system: System) -> AsyncIterator[Client]:
    async with connect(system.settings.nats_url, "replay", system.settings.password("replay")) as client:
        yield client
