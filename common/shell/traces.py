"""What one context knows of what led to what: commands with their events, by stream and by correlation."""

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime
from typing import Annotated

from msgspec import Meta, Struct, field

from common.messages import Id, Query
from common.principals import PERSONAL_DATA
from common.recorded import Receipt, Recorded, State
from common.shell.history import Asker
from common.store.traces import find

MOST = 200
MOST_CORRELATIONS = 1000


class Traces(Query, kw_only=True):
    """The decided commands that recorded something to a stream, or were refused there, and those of some correlations.

    The latest of the stream, the first of the correlations, some hundred of each.
    """

    stream_id: Id | None = field(name="stream", default=None)
    correlations: Annotated[tuple[Id, ...], Meta(max_length=MOST_CORRELATIONS)] = ()


class TracedEvent(Struct, frozen=True):
    """That an event happened, not what it says: history has that. `id` is what its reactions name as their cause."""

    id: str
    type: str
    stream: str
    version: int
    position: int
    recorded_at: datetime


class Trace(Struct, frozen=True, kw_only=True):
    """A decided command with its events. Why it was refused is told in words to its own sender, who also sent what the
    words may repeat, and to those who may read personal data."""

    context: str
    command_id: str
    principal: str
    type: str
    key: str
    state: State
    code: str = ""
    message: str = ""
    accepted_at: datetime
    recorded_at: datetime
    correlation_id: str
    causation_id: str = ""
    events: list[TracedEvent] = []


class TracesAnswer(Struct, frozen=True):
    """What was found. `cut` when there is more than is given."""

    context: str
    traces: list[Trace]
    cut: bool


async def traces(query: Traces, asker: Asker) -> TracesAnswer:
    found = await find(asker.reader, query.stream_id, query.correlations, MOST)
    events = by_command(found.events)
    made = [trace(each, events[each.principal, each.command_id], asker) for each in found.receipts]
    return TracesAnswer(asker.reader.context, made, found.cut)


def by_command(events: Iterable[Recorded]) -> defaultdict[tuple[str, str], list[Recorded]]:
    grouped: defaultdict[tuple[str, str], list[Recorded]] = defaultdict(list)
    for each in events:
        grouped[each.principal, each.command_id].append(each)
    return grouped


def trace(receipt: Receipt, events: list[Recorded], asker: Asker) -> Trace:
    assert receipt.accepted_at and receipt.recorded_at  # Every stored receipt has both.
    told = receipt.principal == asker.principal or PERSONAL_DATA in asker.roles
    return Trace(
        context=receipt.context,
        command_id=receipt.command_id,
        principal=receipt.principal,
        type=receipt.type,
        key=receipt.key,
        state=receipt.state,
        code=receipt.code,
        message=receipt.message if told else "",
        accepted_at=receipt.accepted_at,
        recorded_at=receipt.recorded_at,
        correlation_id=receipt.correlation_id,
        causation_id=events[0].causation_id if events else "",
        events=[traced(each) for each in events],
    )


def traced(event: Recorded) -> TracedEvent:
    return TracedEvent(event.id, event.type, event.stream, event.version, event.position, event.recorded_at)
