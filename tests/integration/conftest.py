"""A record of its own for the checks of invariants; systems whose contexts decide and ask nothing of each other.

What is broken here is the way of one command. That journeys go on whatever breaks, tests/journeys show.
"""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.servers import System, running_system, temporary_data
from tests.shell.worlds import nc, world

__all__ = ["nc", "system", "world"]

ALONE = ["--without-reactions"]


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    with temporary_data() as folder:
        async with running_system(folder, options=ALONE) as found:
            yield found
