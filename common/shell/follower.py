"""One read model as it follows its contexts: takes events in, remembers how far it has come, shows how it is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from common.readmodel import Follows, ReadModel
from common.shell.clocks import UNTIMED, Clocks, Offset
from common.shell.durations import SIZES, Buckets, Quantiles, timed
from common.shell.hops import Hop, Hops
from common.shell.news import Move
from common.shell.patience import AWAY, is_command_fault
from common.store.checkpoints import Checkpoint, begin_model
from common.store.fold import Happened, fold, touched
from common.store.read_tables import Table
from common.store.reader import Head

log = logging.getLogger(__name__)

NOWHERE = Checkpoint(0, "", 0, 0)
NO_CLOCKS: Mapping[str, Clocks] = {}
Tell = Callable[[Move], Awaitable[None]]
"""Tells that a model has come further, to those who wait for that. Never raises."""


async def untold(move: Move) -> None:
    """For a model that nobody asks."""


class ModelBeat(Struct, frozen=True):
    """How a model is, said every second on `beat.projector.<model>`. Its position is None until it is known.

    `pid` is of the process that keeps it; `metrics` is where that one's metrics are, if anywhere.
    """

    model: str
    context: str
    position: int | None
    incarnation: str
    state: Literal["live", "catching-up", "red"]
    error: str
    hops: dict[Hop, Quantiles] = {}
    clocks: list[Offset] = []
    generation: int = 0
    pid: int = 0
    metrics: str = ""


class Following(Follows, Protocol):
    """Who takes in the events of contexts, as the feed of each sees it."""

    detached: str
    checkpoints: dict[str, Checkpoint]
    behind: set[str]

    def at(self, context: str) -> int: ...
    def well(self, context: str, position: int) -> bool: ...
    def check(self, context: str, checkpoint: Checkpoint, head: Head) -> None: ...
    async def take(self, context: str, events: Sequence[Happened]) -> None: ...


class Follower:
    """Keeps one model's table. `detached` says for good why it has stopped, `trouble` by context what is wrong now.

    `written` counts batches, `shown` events by context, `lost` batches that somebody else had written first; `behind`
    names the contexts in which it is catching up.
    """

    def __init__(
        self, pool: Any, model: ReadModel, schema: str, tell: Tell = untold, clocks: Mapping[str, Clocks] = NO_CLOCKS
    ) -> None:
        self.model, self._pool, self._schema, self._tell, self._clocks = model, pool, schema, tell, clocks
        self.name, self.follows = model.name, model.follows
        self._table = Table(model, schema)
        self._lock = asyncio.Lock()  # The contexts of a model share its rows.
        self.hops = {
            context: Hops("relayed_to_visible", "recorded_to_visible", "accepted_to_visible")
            for context in model.follows
        }
        self.checkpoints: dict[str, Checkpoint] = {}
        self._known = False
        self.detached = ""
        self.trouble: dict[str, str] = {}
        self.behind = set(model.follows)
        self.written = self.lost = 0
        self.shown = dict.fromkeys(model.follows, 0)
        self.sizes = {context: Buckets(SIZES) for context in model.follows}

    def at(self, context: str) -> int:
        """The position that it has reached, as far as is known."""
        return self.checkpoints.get(context, NOWHERE).position

    def well(self, context: str, position: int) -> bool:
        """Whether it is in no trouble and has reached a position."""
        return self._known and context not in self.trouble and self.at(context) >= position

    async def take(self, context: str, events: Sequence[Happened]) -> None:
        """Brings the table up to the last of the events, as far as they follow on its checkpoint without a gap.

        Never raises: when the database does not do it, the model is in trouble, and taking again may mend that; a model
        that cannot go on is detached.
        """
        async with self._lock:
            try:
                await self._advance(context, events)
            except Exception as error:
                self._note(context, error)
            else:
                self.trouble.pop(context, None)

    def check(self, context: str, checkpoint: Checkpoint, head: Head) -> None:
        """Detaches the model when the store is not the one it has followed so far (protocol P10).

        The checkpoint must have been known before the head was asked for.
        """
        if reason := misfit(context, checkpoint, head):
            self._detach(f"{reason}: rebuild it")

    def beats(self) -> list[ModelBeat]:
        """How it is, for each context."""
        return [self._beat(context, self.checkpoints.get(context)) for context in self.model.follows]

    def _beat(self, context: str, checkpoint: Checkpoint | None) -> ModelBeat:
        error = self.detached or self.trouble.get(context, "")
        position, incarnation = (checkpoint.position, checkpoint.incarnation) if checkpoint else (None, "")
        state: Literal["live", "catching-up", "red"] = (
            "red" if error else "catching-up" if context in self.behind else "live"
        )
        hops = self.hops[context].last_minute()
        generation = checkpoint.generation if checkpoint else 0
        return ModelBeat(self.model.name, context, position, incarnation, state, error, hops, generation=generation)

    def _note(self, context: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if not isinstance(error, AWAY) or is_command_fault(error):
            log.error("the model %s is detached", self.model.name, exc_info=error)
            self._detach(text)
            return
        if self.trouble.get(context) != text:  # Said once, not at each of many tries.
            log.warning("the model %s cannot be written: %s", self.model.name, text)
        self.trouble[context] = text
        self._known = False  # The statement may or may not have been done: the checkpoint will tell.

    def _detach(self, reason: str) -> None:
        if not self.detached:
            log.error("the model %s stops: %s", self.model.name, reason)
        self.detached = reason

    async def _load_checkpoints(self) -> None:
        self.checkpoints = await begin_model(self._pool, self.model, self._schema)
        self._known = True

    async def _advance(self, context: str, events: Sequence[Happened]) -> None:
        while not self.detached:
            if not self._known:
                await self._load_checkpoints()
            before = self.checkpoints[context]
            if any(each.incarnation != before.incarnation for each in events) and before.incarnation:
                self._detach(f"has followed another incarnation of {context}: rebuild it")
                return
            run = contiguous(events, before.position)
            if not run:
                return
            touches = touched(self.model, context, run)
            rows = await self._table.load(self._pool, [key for key, _ in touches])
            fold(self._table, context, touches, rows)
            after = behind(before, run)
            if await self._table.write(self._pool, self.checkpoints, context, after, rows):
                self.checkpoints[context] = after
                visible = monotonic()
                self.written += 1
                self.shown[context] += len(run)
                self.sizes[context].add(len(run))
                await self._tell(Move(self.model.name, context, after.position, after.incarnation, after.generation))
                self._time(context, run, visible)
                return
            self._known = False  # Somebody else has moved it.
            self.lost += 1

    def _time(self, context: str, run: Sequence[Happened], visible: float) -> None:
        hops, clocks = self.hops[context], self._clocks.get(context, UNTIMED)
        for each, times in timed(run):
            hops.add("relayed_to_visible", clocks.bus.since(each.relayed_at, visible), times)
            hops.add("recorded_to_visible", clocks.store.since(each.recorded_at, visible), times)
            hops.add("accepted_to_visible", clocks.bus.since(each.accepted_at, visible), times)


def misfit(context: str, checkpoint: Checkpoint, head: Head) -> str:
    """Why nobody can go on from this checkpoint with a record that ends there; "" when it fits."""
    if checkpoint.position > head.position:
        return f"has position {checkpoint.position} of {context}, whose head is {head.position}"
    if checkpoint.incarnation not in ("", head.incarnation):
        return f"has followed another incarnation of {context}"
    return ""


def contiguous(events: Sequence[Happened], after: int) -> list[Happened]:
    """The events that follow on a position, up to the first gap. Repeats are left out."""
    run: list[Happened] = []
    for each in events:
        if each.position == after + len(run) + 1:
            run.append(each)
    return run


def behind(before: Checkpoint, run: Sequence[Happened]) -> Checkpoint:
    """The place behind events that follow on a place."""
    sequence = next((each.sequence for each in reversed(run) if each.sequence), before.stream_seq)
    return replace(before, position=run[-1].position, incarnation=run[-1].incarnation, stream_seq=sequence)
