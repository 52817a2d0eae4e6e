"""A nats-server for each module of these tests, which kill and freeze it."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client

from tests.bus.rights import as_user, doors  # noqa: F401  # Fixtures.
from tests.bus.server import Server


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def server(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    folder: Path = tmp_path_factory.mktemp("nats")
    server = Server(folder)
    await server.start()
    yield server
    server.thaw()
    await server.kill()


@pytest_asyncio.fixture(loop_scope="session")
async def nc(server: Server) -> AsyncIterator[Client]:
    client = await server.connect()
    yield client
    await client.close()
