"""Answering queries from where their read model lives: a table, or a bucket."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from types import ModuleType
from typing import Any

import nats.errors
from nats.aio.client import Client

from common.bucketmodel import BucketModel
from common.bus.bucket import Bucket
from common.discovery import buckets, query_handlers, query_models
from common.dispatch import QueryDispatcher
from common.messages import Query
from common.shell.places import Places
from common.shell.reading import Found, Reading, Sources
from common.shell.unanswered import Unanswered
from common.shell.wish import Wish
from common.store.checkpoints import Checkpoint


class Readings:
    """Answers the queries of all these read models; `connect` opens the read database."""

    def __init__(
        self,
        modules: Iterable[ModuleType],
        connect: Callable[[], AbstractAsyncContextManager[Any]],
        sources: Sources,
    ) -> None:
        modules = tuple(modules)
        self._models, dispatcher = query_models(modules), QueryDispatcher(query_handlers(modules))
        self.queries = dispatcher.queries
        self._tables = Reading(self._models, dispatcher, connect, sources)
        places = Places(progress_of({model.name: Bucket(model) for model in buckets(modules)}))
        self._buckets = Reading(self._models, dispatcher, lambda: bus(sources.nc), sources, places)

    async def __call__(self, query: Query, principal: str, wish: Wish) -> Found:
        """As `Reading` has it."""
        return await self.of(type(query))(query, principal, wish)

    def of(self, query: type[Query]) -> Reading:
        """What answers a query of this type."""
        return self._buckets if isinstance(self._models[query][0], BucketModel) else self._tables


def progress_of(known: Mapping[str, Bucket]) -> Callable[[Client, str], Any]:
    """Reads how far a bucket is folded, as checkpoints by context."""

    async def ask(nc: Client, model: str) -> dict[str, Checkpoint]:
        _, found = await known[model].progress(nc)
        if found is None:
            return {}
        place = Checkpoint(found.position, found.incarnation, found.stream_seq, found.generation, found.version)
        return {known[model].model.context: place}

    return ask


@asynccontextmanager
async def bus(nc: Callable[[], Client]) -> AsyncIterator[Client]:
    """The connection, to read a bucket for one query. Raises `Unanswered` when that cannot be reached."""
    try:
        yield nc()
    except (nats.errors.Error, TimeoutError):
        raise Unanswered(503, "bucket-away", "the bucket cannot be reached; ask again") from None
