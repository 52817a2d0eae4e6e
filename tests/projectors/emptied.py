"""A read table of its own for each example that hypothesis tries: those know no fixture of a test."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from common.config import Settings
from common.readmodel import ReadModel
from common.store.checkpoints import begin_model
from common.store.pool import open_pool
from common.store.read_schema import create_tables
from tests.projectors.conftest import SCHEMA, Shelf


@asynccontextmanager
async def emptied(settings: Settings, model: ReadModel) -> AsyncIterator[Shelf]:
    """The model's table, without rows and at no position."""
    await create_tables(settings.read_dsn, [model], SCHEMA)
    pool = await open_pool(settings.read_dsn, "writer", 1)
    try:
        await pool.execute(f"DELETE FROM {SCHEMA}.{model.name}")
        await pool.execute(f"DELETE FROM {SCHEMA}.checkpoints WHERE model = $1", model.name)
        await begin_model(pool, model, SCHEMA)
        yield Shelf(pool)
    finally:
        await pool.close()
