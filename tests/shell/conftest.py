"""What the tests of the shells share."""

from collections.abc import AsyncIterator

import pytest_asyncio
from nats.aio.client import Client

from common.bus.connect import connect
from common.config import Settings
from tests.servers import TEST_USER
from tests.shell.worlds import World, new_world


@pytest_asyncio.fixture(scope="session")
async def nc(settings: Settings) -> AsyncIterator[Client]:
    """A connection that may do everything."""
    connection = await connect(settings, TEST_USER)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def world(settings: Settings, nc: Client) -> AsyncIterator[World]:
    """A context of its own."""
    made = await new_world(settings, nc)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def other_world(settings: Settings, nc: Client) -> AsyncIterator[World]:
    """A second context."""
    made = await new_world(settings, nc)
    yield made
    await made.close()
