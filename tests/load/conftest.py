"""What loads are tried on: a system that takes orders and does nothing more with them, so that their counts agree."""

from collections.abc import AsyncIterator

import pytest_asyncio

from tests.servers import System, running_system, temporary_data


@pytest_asyncio.fixture(scope="package")
async def system() -> AsyncIterator[System]:
    with temporary_data() as folder:
        async with running_system(folder, options=["--without-reactions"]) as found:
            yield found
