"""One read model as it follows its contexts: takes events in, remembers how far it has come, shows how it is."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any, Literal, Protocol

from msgspec import Struct
from msgspec.structs import replace

from common.readmodel import Follows, ReadModel, live_name
from common.shell.clocks import UNTIMED, Clocks, Offset
from common.shell.contiguous import behind, contiguous, misfit
from common.shell.durations import SIZES, Buckets, Quantiles
from common.shell.hops import Hop
from common.shell.news import Move
from common.shell.patience import AWAY, is_command_fault
from common.shell.visible import new_hops, note_visible
from common.store.checkpoints import NOWHERE, Checkpoint, PlacesMissing, places_of
from common.store.fold import Happened, fold, touched
from common.store.read_tables import Table
from common.store.reader import Head
from common.store.rows import Rows, RowsMissing

log = logging.getLogger(__name__)

NO_CLOCKS: Mapping[str, Clocks] = {}
Tell = Callable[[Move], Awaitable[None]]
"""Tells that a model has come further, to those who wait for that. Never raises."""
Load = Callable[[Any, ReadModel, str], Awaitable[dict[str, Checkpoint]]]
"""Reads the checkpoints of a model in a schema, of whatever version; none when there is no such table any more."""
State = Literal["live", "catching-up", "rebuilding", "red"]
Standing = Literal["red", "rebuilding", "left"]
"""How a model is that this process does not keep: it cannot go on, it waits for its new table, others keep it now."""


async def untold(move: Move) -> None:
    """For a model that nobody asks."""


class ModelBeat(Struct, frozen=True):
    """How a model is, said every second on `beat.projector.<model>`. Its position is None until it is known.

    `pid` is of the process that keeps it; `metrics` is where that one's metrics are, if anywhere. `rebuilding` is a new
    table that is built beside the live one, under a name of its own (`building`), and a live one that waits for it.
    """

    model: str
    context: str
    position: int | None
    incarnation: str
    state: State
    error: str
    hops: dict[Hop, Quantiles] = {}
    clocks: list[Offset] = []
    generation: int = 0
    version: int = 1
    building: bool = False
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

    A table of another version of the model is never written: then it is detached too. One that is `building` keeps a
    table beside the live one, which nobody reads yet; `hindrance` says what keeps that from becoming the live one.

    `written` counts batches, `shown` events by context, `lost` batches that somebody else had written first; `behind`
    names the contexts in which it is catching up.
    """

    def __init__(
        self,
        pool: Any,
        model: ReadModel,
        schema: str,
        tell: Tell = untold,
        clocks: Mapping[str, Clocks] = NO_CLOCKS,
        *,
        load: Load = places_of,
        building: bool = False,
    ) -> None:
        self.model, self._pool, self._schema, self._tell, self._clocks = model, pool, schema, tell, clocks
        self._load, self.building = load, building
        self.name, self.follows = model.name, model.follows
        self._remedy = f"daybook rebuild {live_name(model.name)}"
        self._table = Table(model, schema)
        self._rows = Rows(self._table)
        self._lock = asyncio.Lock()  # The contexts of a model share its rows.
        self.hops = {context: new_hops() for context in model.follows}
        self.checkpoints: dict[str, Checkpoint] = {}
        self._known = self._kept = False
        self.detached, self.standing = "", "red"
        self.trouble: dict[str, str] = {}
        self.hindrance = ""
        self.behind = set(model.follows)
        self.written = self.lost = 0
        self.shown = dict.fromkeys(model.follows, 0)
        self.sizes = {context: Buckets(SIZES) for context in model.follows}

    @property
    def stopped(self) -> str:
        """Why it cannot go on; "" for what waits for its new table, or is left to others."""
        return self.detached if self.standing == "red" else ""

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
            self.detach(f"{reason}: {self._remedy}")

    async def look_again(self) -> None:
        """Reads its checkpoints anew: what is known of them is not so any more. Never raises."""
        async with self._lock:
            self._known = False
            try:
                await self._look()
            except Exception as error:
                for context in self.follows:
                    self._note(context, error)

    def beats(self) -> list[ModelBeat]:
        """How it is, for each context; nothing of what is left to others."""
        if self.detached and self.standing == "left":
            return []
        return [self._beat(context, self.checkpoints.get(context)) for context in self.model.follows]

    def _beat(self, context: str, checkpoint: Checkpoint | None) -> ModelBeat:
        error = self.stopped or self.trouble.get(context, "") or self.hindrance
        hops = self.hops[context].last_minute()
        state: State = "red" if error else self._state(context)
        at = checkpoint or NOWHERE
        position, version = (at.position, at.version) if checkpoint else (None, self.model.version)
        told = ModelBeat(self.name, context, position, at.incarnation, state, error, hops)
        return replace(told, generation=at.generation, version=version, building=self.building)

    def _state(self, context: str) -> State:
        if self.detached or self.building:
            return "rebuilding"
        return "catching-up" if context in self.behind else "live"

    def _note(self, context: str, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if not isinstance(error, (*AWAY, PlacesMissing)) or is_command_fault(error):
            remedy = f": {self._remedy}" if isinstance(error, RowsMissing) else ""
            self.detach(text + remedy, error=error)
            return
        if self.trouble.get(context) != text:  # Said once, not at each of many tries.
            log.warning("the model %s cannot be written: %s", self.model.name, text)
        self.trouble[context] = text
        self._known = False  # The statement may or may not have been done: the checkpoint will tell.

    def detach(self, reason: str, standing: Standing = "red", error: Exception | None = None) -> None:
        """Stops it for good."""
        if not self.detached:
            how = logging.ERROR if standing == "red" else logging.INFO
            log.log(how, "the model %s stops: %s", self.name, reason, exc_info=error)
            self.detached, self.standing = reason, standing

    async def _look(self) -> None:
        """Reads its checkpoints; detaches it when they are of a table that is not this version's."""
        found = await self._load(self._pool, self.model, self._schema)
        if not found:
            self.detach("is not built here any more", "left")
            return
        self.checkpoints, own = found, self.model.version
        version = max(each.version for each in found.values())
        if version > own:
            newer = f"version {version} of it is live, and this is {own}: start the newer code,"
            self.detach(f"{newer} or {self._remedy} with this one", "left" if self._kept else "red")
        elif version < own:
            standing: Standing = "left" if self._kept else "rebuilding"
            self.detach(f"version {version} of it stands until {own} is built", standing)
        else:
            self._known = self._kept = True
            for context, each in found.items():
                await self._tell(Move(self.name, context, each.position, each.incarnation, each.generation))

    async def _advance(self, context: str, events: Sequence[Happened]) -> None:
        while not self.detached:
            if not self._known:
                await self._look()
                continue
            before = self.checkpoints[context]
            if any(each.incarnation != before.incarnation for each in events) and before.incarnation:
                self.detach(f"has followed another incarnation of {context}: {self._remedy}")
                return
            run = contiguous(events, before.position)
            if not run:
                return
            touches = touched(self.model, context, run)
            rows = await self._rows.load(self._pool, [key for key, _ in touches], self.checkpoints)
            fold(self._table, context, touches, rows)
            after = behind(before, run)
            if await self._rows.write(self._pool, self.checkpoints, context, after, rows):
                self.checkpoints[context] = after
                visible = monotonic()
                self.written += 1
                self.shown[context] += len(run)
                self.sizes[context].add(len(run))
                await self._tell(Move(self.name, context, after.position, after.incarnation, after.generation))
                note_visible(self.hops[context], self._clocks.get(context, UNTIMED), run, visible)
                return
            self._known = False  # Somebody else has moved it.
            self.lost += 1
