"""A stream read from the record: its events one by one, and the state they come to at any moment."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, field

from common.codec import EventCodec
from common.context import Context
from common.messages import Event, Id, Instant, Query, Rejected
from common.principals import may_read_personal_data
from common.recorded import Recorded
from common.store.reader import BriefEvent, EventReader

PAGE, BREATH = 512, 128
"""Events that are fetched together for a fold, and events that are folded before others get their turn."""

Count = Annotated[int, Meta(ge=0, le=2**53)]
Opener = Callable[[Sequence[Event]], Awaitable[Sequence[Event]]]
"""Opens the personal data of events whose keys are there still."""


class Asker(Struct, frozen=True):
    """What these handlers ask: the context's record, in a principal's name and with its roles."""

    reader: EventReader
    principal: str
    roles: frozenset[str] = frozenset()


class History(Query):
    """The events of a stream after a version, in order."""

    stream_id: Id = field(name="stream")
    after: Count = 0
    limit: Annotated[int, Meta(ge=1, le=1000)] = 100


class AsOf(Query):
    """The state of a stream at a version, or at a time by when it was recorded, or, with neither, now."""

    stream_id: Id = field(name="stream")
    version: Annotated[int, Meta(ge=1, le=2**53)] | None = None
    time: Instant | None = None


class PastEvent(Struct, frozen=True):
    """An event as history shows it. `data` is as it was recorded when the code does not know its type any more."""

    version: int
    position: int
    type: str
    recorded_at: datetime
    accepted_at: datetime
    principal: str
    command_id: str
    correlation_id: str
    causation_id: str
    data: Any


class HistoryAnswer(Struct, frozen=True):
    """A page of events. `next` is what to ask for as `after` for the next page; None when this is the last."""

    stream: str
    events: list[PastEvent]
    next: int | None


class AsOfAnswer(Struct, frozen=True):
    """A state, the version it has, and when that was recorded."""

    stream: str
    version: int
    recorded_at: datetime
    state: Any


async def sealed(events: Sequence[Event]) -> Sequence[Event]:
    """The opener that opens nothing."""
    return events


class Record:
    """Reads one context's streams as its own code understands them.

    The opener is asked only for those who may read personal data, everywhere or in this context.
    """

    def __init__(self, context: Context, opener: Opener = sealed) -> None:
        self._context, self._opener = context, opener
        self._codec = EventCodec(context.events)
        self._known = {event.__name__ for event in context.events}

    async def history(self, query: History, asker: Asker) -> HistoryAnswer | None:
        page = await asker.reader.stream(query.stream_id, query.after, query.limit + 1)
        if not page and not await asker.reader.stream(query.stream_id, 0, 1):
            return None
        shown = page[: query.limit]
        events = iter(await self._opened(((each.type, bytes(each.data)) for each in shown), asker))
        known = [next(events) if each.type in self._known else Raw(each.data) for each in shown]
        return HistoryAnswer(
            query.stream_id,
            [past(each, data) for each, data in zip(shown, known, strict=True)],
            shown[-1].version if len(page) > len(shown) else None,
        )

    async def as_of(self, query: AsOf, asker: Asker) -> AsOfAnswer | None:
        """The fold of all events up to the moment. However many there are, others get their turn in between."""
        if query.version is not None and query.time is not None:
            raise Rejected("malformed", "a version or a time, not both - at `$.time`")
        state, last = self._context.initial, None
        async for part in self._parts(query, asker):
            for event in await self._opened(((each.type, each.data) for each in part), asker):
                state = self._context.evolve(state, event)
            last = part[-1]
            await asyncio.sleep(0)
        if last is None or (query.version is not None and last.version < query.version):
            return None
        snapshot = self._context.snapshot
        return AsOfAnswer(
            query.stream_id, last.version, last.recorded_at, snapshot.freeze(state) if snapshot else state
        )

    async def _parts(self, query: AsOf, asker: Asker) -> AsyncIterator[Sequence[BriefEvent]]:
        """The events up to the moment, a few at a time, each page in a short transaction of its own."""
        page = await asker.reader.brief(query.stream_id, 0, PAGE)
        while page:
            for start in range(0, len(page), BREATH):
                part = page[start : start + BREATH]
                wanted = [each for each in part if within(each, query)]
                if wanted:
                    yield wanted
                if len(wanted) < len(part):
                    return
            page = await asker.reader.brief(query.stream_id, page[-1].version, PAGE) if len(page) == PAGE else []

    async def _opened(self, events: Iterable[tuple[str, bytes | str]], asker: Asker) -> Sequence[Event]:
        """The events of known types, with their personal data open where it can be and the asker may read it."""
        decoded = [event for event in (self._codec.decode(*each) for each in events) if event is not None]
        may_read = may_read_personal_data(asker.roles, self._context.name)
        return await self._opener(decoded) if may_read else decoded


def within(event: BriefEvent, query: AsOf) -> bool:
    if query.version is not None:
        return event.version <= query.version
    return query.time is None or event.recorded_at <= query.time


def past(event: Recorded, data: Any) -> PastEvent:
    return PastEvent(
        event.version,
        event.position,
        event.type,
        event.recorded_at,
        event.accepted_at,
        event.principal,
        event.command_id,
        event.correlation_id,
        event.causation_id,
        data,
    )
