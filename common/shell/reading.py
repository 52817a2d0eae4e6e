"""Answering a query from the read tables, as fresh as it is wished, and saying how fresh it is (design section 10).

Who wishes to see a write of theirs waits until the command is decided, then until the read model has its position. Who
wishes to see a state waits for the events of that stream. The tables are looked at when there is news, and now and then
all the same, since news can be lost.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from math import ceil, inf
from time import monotonic
from typing import Any

from msgspec import Struct
from nats.aio.client import Client

from common.bucketmodel import BucketModel
from common.dispatch import QueryDispatcher
from common.messages import Query
from common.readmodel import ReadModel
from common.recorded import POSITION_HEADER
from common.shell.decisions import AskReceipt, place_after
from common.shell.happenings import happenings
from common.shell.heads import Heads
from common.shell.news import News
from common.shell.places import Place, Places, Wanted, least
from common.shell.room import Full, Room
from common.shell.unanswered import Unanswered, too_many
from common.shell.until import awaited_value, known_values, stream_key
from common.shell.wish import STALENESS_HEADER, UNKNOWN, After, Wish, known_contexts

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 4.0


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
    """Answers the queries of read models; `models` says whose tables a query reads."""

    def __init__(
        self,
        models: Mapping[type[Query], Sequence[ReadModel | BucketModel]],
        dispatcher: QueryDispatcher,
        connect: Callable[[], AbstractAsyncContextManager[Any]],
        sources: Sources,
        places: Places | None = None,
    ) -> None:
        self._models, self._dispatcher, self._connect, self._sources = models, dispatcher, connect, sources
        self._places = places or Places()

    async def __call__(self, query: Query, principal: str, wish: Wish) -> Found:
        """Raises `Rejected` for a wish that makes no sense, `Unanswered` for one that does not come true in time."""
        if wish.plain:
            return await self._look(query, []) or Found(None)
        known_contexts(wish, self._sources.contexts)
        known_values(type(query), wish.until)
        try:
            with self._sources.room.place(principal):
                return await self._awaited(query, principal, wish)
        except Full as full:
            raise too_many(full) from None

    async def changes(self, query: Query) -> AsyncGenerator[Found | None, None]:
        """None once changes are heard of; then what there is, if anything, and whatever else there is later.

        Of values that follow each other closely some may be left out, never the last. Raises `Unanswered` when the bus
        does not take note in the beginning.
        """
        shown, wanted = None, list[After]()
        async with happenings(self._sources.nc(), stream_key(query), monotonic() + LONGEST_PAUSE_S) as happened:
            yield None
            while True:
                found = await self._seen(query, wanted)
                if found and found.value not in (None, shown):
                    shown = found.value
                    yield found
                wanted = self._followed(query, await happened(LONGEST_PAUSE_S))

    async def _seen(self, query: Query, wanted: Wanted) -> Found | None:
        """What is there as soon as these positions are shown; None when that cannot be said."""
        try:
            return await self._look_when_told(query, wanted, monotonic() + LONGEST_PAUSE_S)
        except Unanswered:
            return None

    async def _awaited(self, query: Query, principal: str, wish: Wish) -> Found:
        deadline = monotonic() + wish.wait_s
        wanted = await self._wanted(self._followed(query, wish.after), principal, deadline)
        if wish.until:
            return await self._in_state(query, wish, wanted, deadline)
        for pause_ends in pauses(deadline):
            if found := await self._look_when_told(query, wanted, pause_ends):
                return found
        raise Unanswered(503, "not-visible-yet", f"what was asked for is not visible after {wish.wait_s:g} s")

    async def _in_state(self, query: Query, wish: Wish, wanted: Wanted, deadline: float) -> Found:
        """Hears the stream's events from now on. What was recorded before is shown when the head of now is."""
        value, heads_known = None, False
        async with happenings(self._sources.nc(), stream_key(query), deadline) as happened:
            for pause_ends in pauses(deadline):
                found = await self._look_when_told(query, wanted, pause_ends)
                value = awaited_value(query, found.value) if found else value
                if found and value in wish.until:
                    return found
                if found:
                    news = await happened(pause_ends - monotonic()) if heads_known else await self._heads(query)
                    heads_known = True
                    wanted = merged([*wanted, *self._followed(query, news)])
        now = f"it is {value}" if value else "there is nothing of this name"
        raise Unanswered(503, "state-not-reached", f"{now} after {wish.wait_s:g} s", **{type(query).awaits: value})

    async def _heads(self, query: Query) -> Wanted:
        """Where the records end now that the models follow, as far as somebody says so."""
        follows = self._contexts(query)
        ends = await asyncio.gather(*(self._sources.heads.position(context) for context in follows))
        return [After(name, position=end) for name, end in zip(follows, ends, strict=True) if end is not None]

    def _followed(self, query: Query, after: Iterable[After]) -> Wanted:
        """What the read models can show. Of another context they show nothing, and that is as new as can be."""
        follows = self._contexts(query)
        return [each for each in after if each.context in follows]

    def _contexts(self, query: Query) -> set[str]:
        return {context for model in self._models[type(query)] for context in model.follows}

    def _by_model(self, query: Query, wanted: Wanted) -> list[tuple[ReadModel | BucketModel, Wanted]]:
        """What of it each of the read models can show."""
        models = self._models[type(query)]
        return [(model, [each for each in wanted if each.context in model.follows]) for model in models]

    async def _wanted(self, after: Wanted, principal: str, deadline: float) -> Wanted:
        """With the positions of the commands that are named, once they are decided."""
        return [await self._placed(each, principal, deadline) if each.command_id else each for each in after]

    async def _placed(self, after: After, principal: str, deadline: float) -> After:
        within = max(deadline - monotonic(), 0)
        return await place_after(self._sources.nc(), self._sources.receipt, principal, after, within)

    async def _look_when_told(self, query: Query, wanted: Wanted, pause_ends: float) -> Found | None:
        """Looks, after news of these positions if they are known to be missing.

        When the tables do not show what was told, or nothing was ever told, the models' next word is waited for.
        """
        news, parts = self._sources.news, self._by_model(query, wanted)
        missing = [(model.name, part) for model, part in parts if news.says(model.name, part) is False]
        for name, part in missing:
            await news.reached(name, part, pause_ends - monotonic())
        found = await self._look(query, wanted)
        if not found and not missing:
            await news.next_word([model.name for model, _ in parts], pause_ends - monotonic())
        return found

    async def _look(self, query: Query, wanted: Wanted) -> Found | None:
        """What the tables show; None when it is not there yet. Their places are read first: rows are no older."""
        places: list[Place] = []
        async with self._connect() as connection:
            for model, part in self._by_model(query, wanted):
                places.append(await self._places.read(connection, model, part))
                if not places[-1].shows(part):
                    return None
            for context, checkpoint in least(places).checkpoints.items():
                self._sources.heads.look(context, checkpoint.position)
            value = await self._dispatcher.dispatch(query, connection)
        return Found(value, await self._headers(value, places))

    async def _headers(self, value: Any, places: Sequence[Place]) -> dict[str, str]:
        headers = {POSITION_HEADER: least(places).header, STALENESS_HEADER: await self._staleness(places)}
        version = getattr(value, "version", 0)  # Of a model that follows several contexts there is none.
        return headers | {"ETag": f'"{version}"'} if version else headers

    async def _staleness(self, places: Sequence[Place]) -> str:
        """That of the stalest; unknown as soon as one is. A context that a table says nothing of may be far ahead."""
        stalest = 0.0 if all(place.whole for place in places) else inf
        for context, each in (found for place in places for found in place.checkpoints.items()):
            age = await self._sources.heads.staleness_ms(context, each.position, each.incarnation)
            stalest = inf if age is None else max(stalest, age)
        return f"{ceil(stalest)}" if stalest < inf else UNKNOWN


def pauses(deadline: float) -> Iterator[float]:
    """When to look again at the latest, in monotonic time: soon, then later and later, and once at the deadline."""
    pause, over = FIRST_PAUSE_S, False
    while not over:
        over = monotonic() >= deadline
        yield min(monotonic() + pause, deadline)
        pause = min(2 * pause, LONGEST_PAUSE_S)


def merged(wanted: Wanted) -> Wanted:
    """The furthest of each context, and those that name an incarnation."""
    furthest = {each.context: each for each in sorted(wanted, key=lambda each: each.position) if not each.incarnation}
    return [*furthest.values(), *(each for each in wanted if each.incarnation)]
