"""What became of a stream: every command and event that belongs to it, across contexts, each under what caused it."""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

from common.recorded import State, answer_id, reaction_id
from common.shell.traces import Trace, TracedEvent, TracesAnswer

CLOCKS = "accepted: by the clock of NATS; recorded: by the clock of the context's database; null: these disagree"
MOST_ANSWERS = 3
"""To one call outside, of those that said nothing new. Of more it is not known what they answer."""
DEEPEST = 50
"""Causes above causes. Whoever may send a command may name any cause; what is deeper begins anew."""

AskTraces = Callable[[str, Mapping[str, Any]], Awaitable[TracesAnswer | None]]
"""Asks a context for its traces by these fields; None when it does not answer."""


class TimelineEvent(Struct, frozen=True):
    """An event, and the commands that it caused."""

    type: str
    stream: str
    version: int
    position: int
    recorded_at: datetime
    caused: list["TimelineCommand"]


class TimelineCommand(Struct, frozen=True, kw_only=True):
    """A decided command. `waited_ms` is from the event that caused it to its acceptance, `decided_ms` from there to
    the record of its events and receipt."""

    context: str
    type: str
    key: str
    command_id: str
    principal: str
    state: State
    code: str
    message: str
    accepted_at: datetime
    recorded_at: datetime
    waited_ms: float | None
    decided_ms: float | None
    events: list[TimelineEvent]


class Timeline(Struct, frozen=True, kw_only=True):
    """What became of a stream, in causal order. `missing` are contexts that did not answer; `cut`: there is more."""

    context: str
    stream: str
    total_ms: float | None
    clocks: str
    missing: list[str]
    cut: bool
    commands: list[TimelineCommand]


async def gather(ask: AskTraces, contexts: Iterable[str], context: str, stream: str) -> Timeline | None:
    """The timeline of one context's stream; None when there is nothing of this name, no commands when its own context
    does not answer.

    First its own context says which wishes the stream goes back to, then all contexts what these have led to.
    """
    own = await ask(context, {"stream": stream})
    if own is None:
        return compose(context, stream, [], [context], False)
    if not own.traces:
        return None
    correlations, names = sorted({trace.correlation_id for trace in own.traces}), sorted(contexts)
    answers = await asyncio.gather(*(ask(name, {"correlations": correlations}) for name in names))
    found = [answer for answer in (own, *answers) if answer]
    traces = {(each.context, each.principal, each.command_id): each for answer in found for each in answer.traces}
    missing = [name for name, answer in zip(names, answers, strict=True) if not answer]
    return compose(context, stream, list(traces.values()), missing, any(answer.cut for answer in found))


def compose(context: str, stream: str, traces: Sequence[Trace], missing: list[str], cut: bool) -> Timeline:
    """Puts each command under the event that caused it, as far as that is among them, and in order of time."""
    ordered = sorted(traces, key=lambda trace: (trace.accepted_at, trace.context, trace.command_id))
    events = {event.id: event for trace in ordered for event in trace.events}
    reacting = {trace.context for trace in ordered}
    caused: dict[str, list[Trace]] = defaultdict(list)
    roots = []
    for trace in ordered:
        cause = cause_of(trace, events, reacting)
        caused[cause].append(trace) if cause else roots.append(trace)
    tree = _Tree(events, caused)
    commands = [tree.command(trace, None, 0) for trace in roots]
    commands += [tree.command(trace, None, 0) for trace in ordered if id(trace) not in tree.placed]  # In a circle.
    span = (min(t.accepted_at for t in ordered), max(t.recorded_at for t in ordered)) if ordered else None
    return Timeline(
        context=context,
        stream=stream,
        total_ms=milliseconds(*span) if span else None,
        clocks=CLOCKS,
        missing=missing,
        cut=cut,
        commands=commands,
    )


def cause_of(trace: Trace, events: Mapping[str, TracedEvent], reacting: Collection[str]) -> str:
    """The id of the event that caused it, or "".

    The receipt of a command that recorded nothing does not name its cause; but the id of a reaction, which a context
    sends in its own name, is made of it, and so is that of an answer from outside.
    """
    if trace.causation_id in events:
        return trace.causation_id
    if trace.events or trace.principal not in reacting:
        return ""
    return next((event for event in events if trace.command_id in ids_because_of(event, trace)), "")


def ids_because_of(event: str, trace: Trace) -> list[str]:
    """The ids that a command would have if the event had caused it. Calls outside are about a context's own events."""
    answers = range(1, MOST_ANSWERS + 1) if trace.principal == trace.context else ()
    numbered = [answer_id(event, trace.type, trace.key, number) for number in answers]
    return [reaction_id(event, trace.type, trace.key), *numbered]


class _Tree:
    """Makes the tree, placing each command once: whoever names its own consequence as its cause makes a circle."""

    def __init__(self, events: Mapping[str, TracedEvent], caused: Mapping[str, Sequence[Trace]]) -> None:
        self._events, self._caused = events, caused
        self.placed: set[int] = set()

    def command(self, trace: Trace, cause: TracedEvent | None, depth: int) -> TimelineCommand:
        self.placed.add(id(trace))
        return TimelineCommand(
            context=trace.context,
            type=trace.type,
            key=trace.key,
            command_id=trace.command_id,
            principal=trace.principal,
            state=trace.state,
            code=trace.code,
            message=trace.message,
            accepted_at=trace.accepted_at,
            recorded_at=trace.recorded_at,
            waited_ms=milliseconds(cause.recorded_at, trace.accepted_at) if cause else None,
            decided_ms=milliseconds(trace.accepted_at, trace.recorded_at),
            events=[self._event(event, depth) for event in trace.events],
        )

    def _event(self, event: TracedEvent, depth: int) -> TimelineEvent:
        followers = self._caused.get(event.id, ()) if depth < DEEPEST else ()
        caused = [self.command(each, event, depth + 1) for each in followers if id(each) not in self.placed]
        return TimelineEvent(event.type, event.stream, event.version, event.position, event.recorded_at, caused)


def milliseconds(start: datetime, end: datetime) -> float | None:
    """From one to the other; None when it would be negative: two clocks disagree, and nobody knows."""
    ms = (end - start).total_seconds() * 1000
    return round(ms, 3) if ms >= 0 else None
