"""Fixtures that start real servers, once a run or once a module."""

import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import hypothesis
import psutil
import pytest
import pytest_asyncio

from common.config import Settings
from tests.servers import Servers, System, running_servers, running_system, temporary_data

# How long an example takes says more about who else uses the machine than about our code.
hypothesis.settings.register_profile("daybook", deadline=None)
hypothesis.settings.register_profile("long", deadline=None, max_examples=20_000)
hypothesis.settings.load_profile("daybook")


MEMORY, ROOM = Path("/dev/shm"), 6 * 1024**3


def pytest_configure() -> None:
    """Servers of tests write to memory where there is room. What they do is shown, not how long a disk takes for it."""
    if MEMORY.is_dir() and min(shutil.disk_usage(MEMORY).free, psutil.virtual_memory().available) > ROOM:
        tempfile.tempdir = str(MEMORY)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Files that start whole systems take longest. They come first, so that nobody works alone in the end."""
    takes_long = {item.path for item in items if starts_systems(item)}
    items.sort(key=lambda item: item.path not in takes_long)


def starts_systems(item: pytest.Item) -> bool:
    return isinstance(item, pytest.Function) and (
        "system" in item.fixturenames or hasattr(item.module, "running_system")
    )


@pytest.fixture
def data() -> Iterator[Path]:
    """A place for a data folder, for one test."""
    with temporary_data() as folder:
        yield folder


@pytest_asyncio.fixture(scope="session")
async def servers() -> AsyncIterator[Servers]:
    """nats-server and two Postgres, one of each for the whole run, empty: without schemas and streams."""
    with temporary_data() as folder:
        async with running_servers(folder) as found:
            yield found


@pytest.fixture(scope="session")
def settings(servers: Servers) -> Settings:
    """How to reach the run's servers."""
    return servers.settings


@pytest_asyncio.fixture(scope="session")
async def provisioned(settings: Settings) -> Settings:
    """The run's servers with the schemas, streams and buckets of the system."""
    from common.provision import provision

    await provision(settings)
    return settings


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """A whole system for one module, as `daybook up` runs it, on a folder and ports of its own."""
    with temporary_data() as folder:
        async with running_system(folder) as found:
            yield found
