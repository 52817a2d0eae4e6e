"""A store of its own for each test: a context's schema under a fresh name."""

import itertools
from collections.abc import AsyncIterator
from typing import Any

import pytest_asyncio
from msgspec import Struct

from common.config import Settings
from common.store.leases import LeaseTable
from common.store.migrate import migrate_schema
from common.store.pool import open_pool
from common.store.reader import EventReader

numbers = itertools.count(1)


class Store(Struct, frozen=True):
    """One context's schema, to write, to read, and to look into as its owner."""

    name: str
    dsn: str
    pool: Any
    owner: Any
    leases: LeaseTable
    reader: EventReader


@pytest_asyncio.fixture
async def store(settings: Settings) -> AsyncIterator[Store]:
    name = f"store{next(numbers)}"
    dsn = settings.write_dsn(name)
    await migrate_schema(dsn, "context", name)
    pool, owner = await open_pool(dsn, "writer", 6), await open_pool(dsn, "owner", 2)
    leases = LeaseTable(pool, name)
    await leases.ensure(["0", "1", "2"])
    yield Store(name, dsn, pool, owner, leases, EventReader(pool, name))
    await pool.close()
    await owner.close()
