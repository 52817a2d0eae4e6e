"""Answering a query from the read tables, as fresh as it is wished, and saying how fresh it is (design section 10).

Who wishes to see a write of theirs waits until the command is decided, then until the read model has its position. Who
wishes to see a state waits for the events of that stream. The tables are looked at when there is news, and now and then
all the same, since news can be lost.
"""

import asyncio
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from math import inf
from time import monotonic
from typing import Any

from msgspec import Struct
from nats.aio.client import Client

from common.dispatch import QueryDispatcher
from common.messages import Query
from common.readmodel import ReadModel
from common.recorded import POSITION_HEADER
from common.shell.decisions import AskReceipt, position_of
from common.shell.happenings import happenings
from common.shell.heads import Heads
from common.shell.news import News
from common.shell.places import Place, Places, Wanted
from common.shell.room import Full, Room
from common.shell.unanswered import Unanswered
from common.shell.until import awaited_value, known_values, stream_key
from common.shell.wish import STALENESS_HEADER, UNKNOWN, After, Wish, known_contexts

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 4.0
CONTRADICTED_S = 0.05
"""How long to wait when the news are ahead of the table: its database has lost its last moments, and makes them up."""


class Found(Struct, frozen=True):
    """What a query found, None for nothing, and the headers that say how fresh that is."""

    value: Any
    headers: Mapping[str, str] = {}


class Sources(Struct, frozen=True):
    """What waiting needs besides the tables."""

    nc: Callable[[], Client]
    receipt: AskReceipt
    news: News
    heads: Heads
    contexts: Collection[str]
    room: Room


class Reading:
    """Answers the queries of read models; `models` says whose table a query reads."""

    def __init__(
        self,
        models: Mapping[type[Query], ReadModel],
        dispatcher: QueryDispatcher,
        connect: Callable[[], AbstractAsyncContextManager[Any]],
        sources: Sources,
    ) -> None:
        self._models, self._dispatcher, self._connect, self._sources = models, dispatcher, connect, sources
        self._places = Places()

    async def __call__(self, query: Query, principal: str, wish: Wish) -> Found:
        """Raises `Rejected` for a wish that makes no sense, `Unanswered` for one that does not come true in time."""
        if wish.plain:
            return await self._look(query, []) or Found(None)
        known_contexts(wish, self._sources.contexts)
        known_values(type(query), wish.until)
        try:
            with self._sources.room:
                return await self._awaited(query, principal, wish)
        except Full:
            raise Unanswered(503, "too-many-waiting", "too many wait already; ask again, or without waiting") from None

    async def _awaited(self, query: Query, principal: str, wish: Wish) -> Found:
        deadline = monotonic() + wish.wait_s
        async with AsyncExitStack() as stack:
            if wish.until:
                happened = await stack.enter_async_context(happenings(self._sources.nc(), stream_key(query)))
            wanted = await self._wanted(self._followed(query, wish.after), principal, deadline)
            for pause_ends in pauses(deadline):
                found = await self._look_when_told(query, wanted, pause_ends)
                if found and (not wish.until or awaited_value(query, found.value) in wish.until):
                    return found
                if found:
                    heard = await happened(pause_ends - monotonic())
                    news = [After(context, position=position) for context, position in heard.items()]
                    wanted += self._followed(query, news)
        raise too_late(query, wish, found)

    def _followed(self, query: Query, after: Iterable[After]) -> Wanted:
        """What the read model can show. Of another context it shows nothing, and that is as new as can be."""
        return [each for each in after if each.context in self._models[type(query)].follows]

    async def _wanted(self, after: Wanted, principal: str, deadline: float) -> Wanted:
        """With the positions of the commands that are named, once they are decided."""
        return [await self._decided(each, principal, deadline) if each.command_id else each for each in after]

    async def _decided(self, after: After, principal: str, deadline: float) -> After:
        nc, within = self._sources.nc(), max(deadline - monotonic(), 0)
        position = await position_of(nc, self._sources.receipt, principal, after, within)
        return After(after.context, position=position)

    async def _look_when_told(self, query: Query, wanted: Wanted, pause_ends: float) -> Found | None:
        """Waits for news of these positions until the pause ends, then looks."""
        model = self._models[type(query)].name
        told = await self._sources.news.reached(model, wanted, pause_ends - monotonic())
        found = await self._look(query, wanted)
        if told and not found:
            await asyncio.sleep(CONTRADICTED_S)
        return found

    async def _look(self, query: Query, wanted: Wanted) -> Found | None:
        """What the table shows; None when it is not there yet. Its place is read first: its rows are no older."""
        async with self._connect() as connection:
            place = await self._places.read(connection, self._models[type(query)].name, wanted)
            if not place.shows(wanted):
                return None
            for context, checkpoint in place.checkpoints.items():
                self._sources.heads.look(context, checkpoint.position)
            value = await self._dispatcher.dispatch(query, connection)
        return Found(value, await self._headers(value, place))

    async def _headers(self, value: Any, place: Place) -> dict[str, str]:
        stalest = 0.0
        for context, checkpoint in place.checkpoints.items():
            age = await self._sources.heads.staleness_ms(context, checkpoint.position)
            stalest = inf if age is None else max(stalest, age)
        staleness = f"{stalest:.0f}" if stalest < inf and place.checkpoints else UNKNOWN
        headers = {POSITION_HEADER: place.header, STALENESS_HEADER: staleness}
        version = getattr(value, "version", None)
        return headers if version is None else headers | {"ETag": f'"{version}"'}


def pauses(deadline: float) -> Iterator[float]:
    """When to look again at the latest, in monotonic time: soon, then later and later, last at the deadline."""
    pause, ends = FIRST_PAUSE_S, 0.0
    while ends < deadline:
        ends = min(monotonic() + pause, deadline)
        yield ends
        pause = min(2 * pause, LONGEST_PAUSE_S)


def too_late(query: Query, wish: Wish, found: Found | None) -> Unanswered:
    if found is None:
        return Unanswered(503, "not-visible-yet", f"what was asked for is not visible after {wish.wait_s:g} s")
    present = awaited_value(query, found.value)
    now = f"it is {present}" if present else "there is nothing of this name"
    return Unanswered(503, "state-not-reached", f"{now} after {wish.wait_s:g} s", **{type(query).awaits: present})
