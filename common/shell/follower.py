"""One read model as it follows its contexts: takes events in, remembers how far it has come, shows how it is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime
from itertools import groupby
from typing import Any, Literal

from msgspec import Struct

from common.readmodel import ReadModel
from common.shell.news import Move
from common.shell.patience import AWAY, is_command_fault
from common.shell.rolling import Rolling
from common.store.fold import Happened, fold, touched
from common.store.read_schema import load_checkpoints
from common.store.read_tables import Checkpoint, Table
from common.store.reader import Head

log = logging.getLogger(__name__)

NOWHERE = Checkpoint(0, "", 0, 0)
Tell = Callable[[Move], Awaitable[None]]
"""Tells that a model has come further, to those who wait for that. Never raises."""


async def untold(move: Move) -> None:
    """For a model that nobody asks."""


class ModelBeat(Struct, frozen=True):
    """How a model is, said every second on `beat.projector.<model>`. Milliseconds are from recorded to visible."""

    model: str
    context: str
    position: int
    incarnation: str
    state: Literal["live", "catching-up", "red"]
    error: str
    p50_ms: float | None
    p99_ms: float | None
    n: int


class Follower:
    """Keeps one model's table. `detached` says for good why it has stopped, `trouble` by context what is wrong now.

    `written` counts batches, `lost` those that somebody else had written first; `behind` names the contexts in which it
    is catching up.
    """

    def __init__(self, pool: Any, model: ReadModel, schema: str, tell: Tell = untold) -> None:
        self.model, self._pool, self._schema, self._tell = model, pool, schema, tell
        self._table = Table(model, schema)
        self._lock = asyncio.Lock()  # The contexts of a model share its rows.
        self._latency = {context: Rolling() for context in model.follows}
        self.checkpoints: dict[str, Checkpoint] = {}
        self._known = False
        self.detached = ""
        self.trouble: dict[str, str] = {}
        self.behind = set(model.follows)
        self.written = self.lost = 0

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
        if checkpoint.position > head.position:
            self._detach(f"has position {checkpoint.position} of {context}, whose head is {head.position}: rebuild it")
        elif checkpoint.incarnation not in ("", head.incarnation):
            self._detach(f"has followed another incarnation of {context}: rebuild it")

    def beats(self) -> list[ModelBeat]:
        """How it is, for each context."""
        return [self._beat(context, self.checkpoints.get(context, NOWHERE)) for context in self.model.follows]

    def _beat(self, context: str, checkpoint: Checkpoint) -> ModelBeat:
        error = self.detached or self.trouble.get(context, "")
        n, (p50, p99) = self._latency[context].quantiles(0.5, 0.99)
        state: Literal["live", "catching-up", "red"] = (
            "red" if error else "catching-up" if context in self.behind else "live"
        )
        return ModelBeat(
            self.model.name, context, checkpoint.position, checkpoint.incarnation, state, error, p50, p99, n
        )

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
        self.checkpoints = await load_checkpoints(self._pool, self.model, self._schema)
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
            sequence = next((each.sequence for each in reversed(run) if each.sequence), before.stream_seq)
            after = Checkpoint(run[-1].position, run[-1].incarnation, sequence, before.generation)
            if await self._table.write(self._pool, self.checkpoints, context, after, rows):
                self.checkpoints[context] = after
                self.written += 1
                await self._tell(Move(self.model.name, context, after.position))
                self._measure(context, run)
                return
            self._known = False  # Somebody else has moved it.
            self.lost += 1

    def _measure(self, context: str, run: Sequence[Happened]) -> None:
        now = datetime.now(UTC)
        for recorded_at, together in groupby(run, key=lambda each: each.recorded_at):
            self._latency[context].add((now - recorded_at).total_seconds() * 1000, len(list(together)))


def contiguous(events: Sequence[Happened], after: int) -> list[Happened]:
    """The events that follow on a position, up to the first gap. Repeats are left out."""
    run: list[Happened] = []
    for each in events:
        if each.position == after + len(run) + 1:
            run.append(each)
    return run
