"""The read tables of Daybook in the run's read database, empty for each test."""

from collections.abc import AsyncIterator, Iterable, Mapping
from datetime import UTC, datetime
from itertools import groupby
from typing import Any

import pytest_asyncio

from common.config import Settings
from common.discovery import read_models, tables
from common.messages import Event, context_of
from common.readmodel import ReadModel
from common.shell.follower import Follower
from common.store.checkpoints import begin_model
from common.store.fold import Happened
from common.store.pool import open_pool
from common.store.read_schema import create_tables
from tests.shell.worlds import nc  # noqa: F401  # A connection that may do everything.

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
SCHEMA = "read"


class Shelf:
    """Read tables, and what has happened so far."""

    def __init__(self, pool: Any) -> None:
        self.pool = pool
        self._positions: dict[str, int] = {}
        self._versions: dict[str, int] = {}

    async def happen(self, model: ReadModel, *events: tuple[str, Event]) -> None:
        """Projects events of streams, in order; those of one context that follow each other as one batch."""
        await self.happen_for([model], *events)

    async def happen_for(self, models: Iterable[ReadModel], *events: tuple[str, Event]) -> None:
        """Projects the same events into several models."""
        followers = [Follower(self.pool, model, SCHEMA) for model in models]
        for context, batch in groupby(events, key=lambda each: context_of(type(each[1]))):
            happened = [self._happened(context, stream, event) for stream, event in batch]
            for follower in followers:
                await follower.take(context, happened)
                assert follower.detached == ""

    def _happened(self, context: str, stream: str, event: Event) -> Happened:
        self._positions[context] = position = self._positions.get(context, 0) + 1
        self._versions[stream] = version = self._versions.get(stream, 0) + 1
        return Happened(position, "one", stream, version, NOON, event)

    async def ask(self, query: Any, handlers: Mapping[Any, Any]) -> Any:
        return await handlers[type(query)](query, self.pool)


@pytest_asyncio.fixture
async def shelf(settings: Settings) -> AsyncIterator[Shelf]:
    models = tables(read_models().values())
    await create_tables(settings.read_dsn, models, SCHEMA)
    pool = await open_pool(settings.read_dsn, "writer", 2)
    for table in ("checkpoints", *(model.name for model in models)):
        await pool.execute(f"DELETE FROM {SCHEMA}.{table}")
    for model in models:
        await begin_model(pool, model, SCHEMA)
    yield Shelf(pool)
    await pool.close()
