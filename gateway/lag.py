"""How far each read model is behind its contexts' records: beats and heads put together.

A number is shown only when somebody knows it: what is silent, in trouble or stuck is never said to be 0 behind.
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec
from msgspec.structs import replace

from common.lag import UNKNOWN, ContextLag, LagAnswer, ModelLag, ProcessLag, State, Unknown
from common.readmodel import live_name
from common.shell.clocks import Offset
from common.shell.context_queries import HeadAnswer
from common.shell.durations import Quantiles
from common.shell.heads import AskHead
from common.shell.hops import Hop
from common.store.reader import Lag as Behind
from gateway.beats import DEAD_S, LATE_S, Beats, Heard

STALLED_S = 3.0
UNDECIDED_S = 8.0
"""For so long a command may be in its stream: what is settled is removed every five seconds."""
ALIVE: tuple[State, ...] = ("live", "catching-up", "rebuilding")
GOING_ON = ("relay", "reactions", "effects")
"""Besides read models, those who go on along a record: the place of effects is below their lowest open call."""
NO_QUANTILES = Quantiles()


class Lag:
    """Puts beats and heads together.

    `told` gives the position that a read model told last, at its last move; `backlog` is the age of each context's
    oldest undecided command, in seconds.
    """

    def __init__(
        self,
        beats: Beats,
        ask_head: AskHead,
        told: Callable[[str, str], int | None],
        contexts: Iterable[str],
        backlog: Mapping[str, float],
    ) -> None:
        self._beats, self._ask_head, self._told = beats, ask_head, told
        self._contexts, self._backlog = tuple(contexts), backlog

    async def now(self, model: str | None = None) -> LagAnswer | None:
        """Asks every context for its head. With a model's name, of it alone; None when there is none of this name."""
        heard = [self._moved(each) for each in self._beats.all()]
        if model is not None:
            heard = [each for each in heard if each.who.kind == "projector" and live_name(each.who.name) == model]
            if not heard:
                return None
        asked: dict[str, list[Heard]] = {context: [] for context in self._contexts if model is None}
        for each in heard:
            if each.who.kind == "projector" or each.who.kind in GOING_ON:
                asked.setdefault(each.who.context, []).append(each)
        heads = await asyncio.gather(*(self._head(context, group) for context, group in asked.items()))
        known = dict(zip(asked, heads, strict=True))
        return self._answer(heard, known)

    def _moved(self, heard: Heard) -> Heard:
        """A model tells each move at once, and beats but once a second."""
        position = self._told(heard.who.name, heard.who.context) if heard.who.kind == "projector" else None
        return heard if position is None else replace(heard, said=heard.said | {"position": position})

    async def _head(self, context: str, group: list[Heard]) -> tuple[HeadAnswer | None, dict[int, Behind]]:
        """The head of a context, and how far one at each position is behind it."""
        positions = tuple(sorted({each.position for each in group if each.position is not None}))
        head = await self._ask_head(context, positions)
        if head is None:
            return None, {}
        return head, {at: lag for at, lag in zip(positions, head.lag, strict=True) if at <= head.position}

    def _answer(
        self, heard: list[Heard], known: Mapping[str, tuple[HeadAnswer | None, dict[int, Behind]]]
    ) -> LagAnswer:
        way = hops_of(each for each in self._beats.all() if each.who.kind in ("worker", "relay"))
        models, processes = [], []
        for each in heard:
            head, lags = known.get(each.who.context, (None, {}))
            behind = None if each.position is None else lags.get(each.position)
            if head and each.said.get("incarnation") not in (None, "", head.incarnation):
                behind = None  # Positions of another record say nothing of this one.
            state = self._state(each, behind)
            if each.who.kind == "projector":
                models.append(model_lag(each, state, head, behind, way[each.who.context]))
            processes.append(process_lag(each, state, behind))
        contexts = [context_lag(name, head) for name, (head, _) in sorted(known.items())]
        return LagAnswer(models, contexts, processes)

    def _state(self, heard: Heard, behind: Behind | None) -> State:
        if heard.silent_s > LATE_S or not heard.said:
            return "dead" if heard.silent_s > DEAD_S else "late"
        if heard.said.get("stalled"):
            return "stalled"
        if heard.said.get("error"):
            return "red"
        if heard.said.get("state") == "rebuilding":
            return "rebuilding"
        if heard.still_s > STALLED_S and (waits(behind) or self._undecided(heard)):
            return "stalled"
        state: State = "catching-up" if heard.said.get("state") == "catching-up" else "live"
        return state

    def _undecided(self, heard: Heard) -> bool:
        """Whether it is a worker whose commands should have been decided long ago."""
        who = heard.who
        mine = who.kind == "worker" and bool(heard.said.get("partitions"))
        return mine and self._backlog.get(who.context, 0.0) > UNDECIDED_S


def waits(behind: Behind | None) -> bool:
    """Whether something has been there to do for a while."""
    return behind is not None and behind.events > 0 and (behind.ms is None or behind.ms > STALLED_S * 1000)


def hops_of(parts: Iterable[Heard]) -> dict[str, dict[Hop, Quantiles]]:
    """The hops that workers and relays have timed, by context."""
    found: dict[str, dict[Hop, Quantiles]] = defaultdict(dict)
    for each in parts:
        for hop, quantiles in hops(each).items():
            if quantiles.n or hop not in found[each.who.context]:
                found[each.who.context][hop] = quantiles
    return found


def hops(heard: Heard) -> dict[Hop, Quantiles]:
    """What it has timed; nothing of who is dead, for its last minute is another than ours."""
    return {} if heard.silent_s > DEAD_S else said_as(heard.said.get("hops"), dict[Hop, Quantiles]) or {}


def said_as(value: Any, kind: Any) -> Any:
    """What a part said as it should be; None when it is not: another version may run there."""
    try:
        return msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return None


def numbers(state: State, behind: Behind | None) -> tuple[int | Unknown, float | Unknown]:
    """Events and milliseconds behind."""
    if behind is None or (behind.events == 0 and state not in ALIVE):
        return UNKNOWN, UNKNOWN
    return behind.events, UNKNOWN if behind.ms is None else round(behind.ms, 1)


def model_lag(
    heard: Heard, state: State, head: HeadAnswer | None, behind: Behind | None, way: Mapping[Hop, Quantiles]
) -> ModelLag:
    events, ms = numbers(state, behind)
    whole: dict[Hop, Quantiles] = {**way, **hops(heard)}
    visible = whole.get("recorded_to_visible", NO_QUANTILES)
    return ModelLag(
        model=heard.who.name,
        context=heard.who.context,
        state=state,
        error=str(heard.said.get("error", "")),
        projected=UNKNOWN if heard.position is None else heard.position,
        head=head.position if head else UNKNOWN,
        events=events,
        ms=ms,
        p50_ms=visible.p50_ms,
        p95_ms=visible.p95_ms,
        p99_ms=visible.p99_ms,
        max_ms=visible.max_ms,
        n=visible.n,
        hops=whole,
        heard_s=heard.heard_s,
        version=said_as(heard.said.get("version"), int) or 1,
        building=bool(heard.said.get("building")),
    )


def process_lag(heard: Heard, state: State, behind: Behind | None) -> ProcessLag:
    """A part as it is; what is said elsewhere in the answer is not repeated."""
    who = heard.who
    found = ProcessLag(
        kind=who.kind,
        name=who.name,
        context=who.context,
        state=state,
        error=str(heard.said.get("stalled") or heard.said.get("error") or ""),
        heard_s=heard.heard_s,
        clocks=said_as(heard.said.get("clocks"), list[Offset]) or [],
        said={name: value for name, value in heard.said.items() if name not in ("hops", "clocks", "error")},
    )
    if who.kind in GOING_ON:
        found.events, found.ms = numbers(state, behind)
    return found


def context_lag(name: str, head: HeadAnswer | None) -> ContextLag:
    snapshot = head.oldest_snapshot_ms if head else None
    return ContextLag(
        context=name,
        head=head.position if head else UNKNOWN,
        incarnation=head.incarnation if head else "",
        recorded_at=head.recorded_at if head else None,
        oldest_snapshot_ms=UNKNOWN if snapshot is None else round(snapshot, 1),
    )
