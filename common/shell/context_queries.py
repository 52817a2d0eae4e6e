"""The queries that every context's own process answers from its record: history, as-of, receipts and head.

Each context has its own types of them, named `<Context>History` and so on, so that each has its own subject.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import datetime
from typing import Annotated, Any

from msgspec import Meta, Raw, Struct, field

from common.codec import EventCodec
from common.context import Context
from common.dispatch import QueryHandler
from common.messages import Event, Id, Instant, Query, QueryMeta, Rejected
from common.principals import PERSONAL_DATA
from common.recorded import Receipt, Recorded
from common.store.reader import EventReader, Lag

PAGE = 512
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


class Receipts(Query):
    """The asker's own receipts, as far as they exist, by command id."""

    ids: Annotated[list[Id], Meta(max_length=1000)]


class Head(Query):
    """Where the record ends, and how far somebody at each of these positions is behind it."""

    after: Annotated[tuple[Count, ...], Meta(max_length=100)] = ()


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


class HeadAnswer(Struct, frozen=True):
    """The head, and a lag for each position that was asked about."""

    context: str
    position: int
    incarnation: str
    recorded_at: datetime | None
    lag: list[Lag]


async def sealed(events: Sequence[Event]) -> Sequence[Event]:
    """The opener that opens nothing."""
    return events


def context_query_types(context: str) -> tuple[type[History], type[AsOf], type[Receipts], type[Head]]:
    """The four query types of a context, by its name alone."""
    made = [
        QueryMeta(f"{context.capitalize()}{kind.__name__}", (kind,), {}) for kind in (History, AsOf, Receipts, Head)
    ]
    return made[0], made[1], made[2], made[3]


def context_queries(context: Context, opener: Opener = sealed) -> dict[type[Query], QueryHandler]:
    """The handlers of a context's own queries. What they are given as connection is an `Asker`.

    The opener is asked only for those who have the role `personal-data`.
    """
    record = _Record(context, opener)
    history_type, as_of_type, receipts_type, head_type = context_query_types(context.name)
    return {history_type: record.history, as_of_type: record.as_of, receipts_type: receipts, head_type: head}


async def receipts(query: Receipts, asker: Asker) -> dict[str, Receipt]:
    return await asker.reader.receipts(asker.principal, query.ids)


async def head(query: Head, asker: Asker) -> HeadAnswer:
    end = await asker.reader.head()
    lag = await asker.reader.lag(query.after) if query.after else []
    return HeadAnswer(asker.reader.context, end.position, end.incarnation, end.at, lag)


class _Record:
    """Reads one context's streams as its own code understands them."""

    def __init__(self, context: Context, opener: Opener) -> None:
        self._context, self._opener = context, opener
        self._codec = EventCodec(context.events)
        self._known = {event.__name__ for event in context.events}

    async def history(self, query: History, asker: Asker) -> HistoryAnswer | None:
        page = await asker.reader.stream(query.stream_id, query.after, query.limit + 1)
        if not page and not await asker.reader.stream(query.stream_id, 0, 1):
            return None
        shown = page[: query.limit]
        events = iter(await self._opened(shown, asker))
        known = [next(events) if each.type in self._known else Raw(each.data) for each in shown]
        return HistoryAnswer(
            query.stream_id,
            [past(each, data) for each, data in zip(shown, known, strict=True)],
            shown[-1].version if len(page) > len(shown) else None,
        )

    async def as_of(self, query: AsOf, asker: Asker) -> AsOfAnswer | None:
        if query.version is not None and query.time is not None:
            raise Rejected("malformed", "a version or a time, not both - at `$.time`")
        state, last = self._context.initial, None
        while page := await asker.reader.stream(query.stream_id, last.version if last else 0, PAGE):
            wanted = [each for each in page if within(each, query)]
            for event in await self._opened(wanted, asker):
                state = self._context.evolve(state, event)
            last = wanted[-1] if wanted else last
            if len(wanted) < PAGE:
                break
        if last is None or (query.version is not None and last.version < query.version):
            return None
        return AsOfAnswer(query.stream_id, last.version, last.recorded_at, state)

    async def _opened(self, page: Sequence[Recorded], asker: Asker) -> Sequence[Event]:
        """The events of known types, with their personal data open where it can be and the asker may read it."""
        decoded = (self._codec.decode(each.type, bytes(each.data)) for each in page)
        events = [event for event in decoded if event is not None]
        return await self._opener(events) if PERSONAL_DATA in asker.roles else events


def within(event: Recorded, query: AsOf) -> bool:
    if query.version is not None:
        return event.version <= query.version
    return query.time is None or event.recorded_at <= query.time


def past(event: Recorded, data: Any) -> PastEvent:
    known = {name: getattr(event, name) for name in PastEvent.__struct_fields__ if name != "data"}
    return PastEvent(data=data, **known)
