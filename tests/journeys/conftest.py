"""One system for all journeys; each test has customers, sites and orders of its own."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.journeys.shop import Shop, opened
from tests.servers import System, running_system, temporary_data

TTL_MS = "2000"
"""Shorter than usual: tests wait for the successors of what they kill."""


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def system() -> AsyncIterator[System]:
    with temporary_data() as folder:
        async with running_system(folder, DAYBOOK_LEASE_TTL_MS=TTL_MS) as found:
            yield found


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def shop(system: System) -> AsyncIterator[Shop]:
    async with opened(system) as found:
        yield found
