"""One bus and one gateway for all of these tests but those that break them."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from tests.gateway.doors import Doors, fresh_doors


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Doors]:
    async with fresh_doors(tmp_path_factory) as (_, opened):
        yield opened
