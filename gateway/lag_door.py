"""Asking for the lag: over HTTP, of all or of one read model, and over NATS as the query `ConsistencyLag`."""

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec

from common.config import Settings
from common.dispatch import QueryDispatcher
from common.lag import ConsistencyLag, LagAnswer
from common.principals import Principals
from common.shell.answers import Answers, answers_app, asked_directly
from gateway.http import Answer, Asked
from gateway.identity import identified
from gateway.lag import Lag
from gateway.problems import Problem

log = logging.getLogger(__name__)


class LagDoor:
    """Answers of all read models, or of the one that the path names."""

    def __init__(self, lag: Lag, principals: Principals) -> None:
        self._lag, self._principals = lag, principals

    async def __call__(self, asked: Asked) -> Answer:
        identified(asked, self._principals)
        found = await self._lag.now(asked.path.get("model"))
        if found is None:
            raise Problem(404, "not-found", "there is no read model of this name")
        return Answer(200, msgspec.json.encode(found))


async def answer_on_the_bus(settings: Settings, lag: Lag) -> None:
    """Answers `query.*.ConsistencyLag` until cancelled, as soon as the bus is there."""

    async def found(query: ConsistencyLag, connection: None) -> LagAnswer | None:
        return await lag.now(query.model)

    @asynccontextmanager
    async def nothing(principal: str) -> AsyncIterator[None]:
        yield

    dispatcher = QueryDispatcher({ConsistencyLag: found})
    app = answers_app(settings, Answers(dispatcher.queries, asked_directly(dispatcher, nothing)))
    try:
        await app.start()
        await asyncio.Event().wait()
    finally:
        await app.stop()
