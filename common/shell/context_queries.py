"""The queries that every context's own process answers from its record.

Each context has its own types of them, named `<Context>History` and so on, so that each has its own subject.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, NamedTuple

from msgspec import Meta, Struct

from common.context import Context
from common.dispatch import QueryHandler
from common.messages import Id, Query, QueryMeta
from common.recorded import POSITION_HEADER, Receipt
from common.shell.history import Asker, AsOf, Count, History, Opener, Record, sealed
from common.shell.traces import Traces, traces
from common.shell.wish import STALENESS_HEADER, position_header
from common.store.reader import EventReader, Lag


class Receipts(Query):
    """The asker's own receipts, as far as they exist, by command id."""

    ids: Annotated[list[Id], Meta(max_length=1000)]


class Head(Query):
    """Where the record ends, and how far somebody at each of these positions is behind it."""

    after: Annotated[tuple[Count, ...], Meta(max_length=100)] = ()


class HeadAnswer(Struct, frozen=True):
    """The head, and a lag for each position that was asked about.

    `oldest_snapshot_ms` is the age of the oldest snapshot held open there, 0 for none, None when nobody may know.
    """

    context: str
    position: int
    incarnation: str
    recorded_at: datetime | None
    lag: list[Lag]
    oldest_snapshot_ms: float | None = None


class ContextQueries(NamedTuple):
    """The query types of one context."""

    history: type[History]
    as_of: type[AsOf]
    receipts: type[Receipts]
    head: type[Head]
    traces: type[Traces]


def context_query_types(context: str) -> ContextQueries:
    """The query types of a context, by its name alone."""

    def named(kind: type[Query]) -> Any:
        return QueryMeta(f"{context.capitalize()}{kind.__name__}", (kind,), {})

    return ContextQueries(named(History), named(AsOf), named(Receipts), named(Head), named(Traces))


def context_queries(context: Context, opener: Opener = sealed) -> dict[type[Query], QueryHandler]:
    """The handlers of a context's own queries. What they are given as connection is an `Asker`."""
    record, types = Record(context, opener), context_query_types(context.name)
    return {
        types.history: record.history,
        types.as_of: record.as_of,
        types.receipts: receipts,
        types.head: head,
        types.traces: traces,
    }


async def receipts(query: Receipts, asker: Asker) -> dict[str, Receipt]:
    return await asker.reader.receipts(asker.principal, query.ids)


async def head(query: Head, asker: Asker) -> HeadAnswer:
    return await head_behind(asker.reader, query.after)


async def head_behind(reader: EventReader, positions: Sequence[int]) -> HeadAnswer:
    """Where a record ends, and the lag of who is at these positions."""
    end = await reader.head()
    lag = await reader.lag(positions) if positions else []
    snapshot = await reader.oldest_snapshot_ms()
    return HeadAnswer(reader.context, end.position, end.incarnation, end.at, lag, snapshot)


async def from_record(query: type[Query], asker: Asker) -> Mapping[str, str]:
    """The headers of what is read from the record: it shows the head, read before, and is never stale."""
    if not issubclass(query, (History, AsOf, Traces)):
        return {}
    end = await asker.reader.head()
    place = {asker.reader.context: (end.position, end.incarnation)}
    return {POSITION_HEADER: position_header(place), STALENESS_HEADER: "0"}
