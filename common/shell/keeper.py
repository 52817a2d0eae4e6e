"""Keeps a read model's bucket: what the events of its context make of each value is put there (protocol P8).

The values of a batch and the place behind it are stored together, or, when they are few, the place once the values are.
So after any interruption the place is behind the values, never ahead: a value that has an event already skips it.

A value that cannot be gone on from is folded anew from its own events in the record: what an older version of the model
has left, once the fold has come to its last event, so that no value goes back; and what is not ours. Whatever else
becomes of the bucket is seen within a second: one that is lost is made again and filled from the record.
"""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic
from typing import Any

from msgspec.structs import replace
from nats.aio.client import Client

from common.bucketmodel import BucketModel
from common.bus.bucket import Entry
from common.readmodel import Follows
from common.shell.asking import PASSING
from common.shell.clocks import UNTIMED, Clocks
from common.shell.contiguous import behind
from common.shell.durations import SIZES, Buckets
from common.shell.follower import ModelBeat, Tell, untold
from common.shell.listener import Listener
from common.shell.news import Move
from common.shell.shelf import MOST, Shelf
from common.shell.visible import new_hops, note_visible
from common.store.checkpoints import Checkpoint
from common.store.fold import Happened, followed
from common.store.reader import EventReader
from common.store.values import Overtaken, anew, folded, outdated
from common.subjects import is_token

log = logging.getLogger(__name__)

LOOK_S = 1.0


def unfed(listener: Listener) -> None:
    """For who is handed events by a test."""


class Keeper:
    """Keeps one bucket. Its feed sees the `listener`; `join` has another one fed in its place.

    `shown` counts events by context, `sizes` those of each batch, `lost` batches that somebody else had come before,
    `ignored` what somebody else has put under a key that is no id.
    """

    def __init__(
        self, nc: Client, model: BucketModel, reader: EventReader,
        join: Callable[[Listener], None] = unfed, tell: Tell = untold, clocks: Clocks = UNTIMED,
    ) -> None:  # fmt: skip
        self.model, self.name, context = model, model.name, model.context
        self._reader, self._tell, self._clocks = reader, tell, clocks
        self._shelf, self._codec = Shelf(nc, model), followed([model], context)
        self.listener, self._join = self._listener(), join
        self.hops = {context: new_hops()}
        self.shown, self.sizes = {context: 0}, {context: Buckets(SIZES)}
        self.lost = self.ignored = 0
        self._lock = asyncio.Lock()  # The shelf is for one task at a time.
        self._care = ""  # What keeps us from looking after it.

    def _listener(self) -> Listener:
        context = self.model.context
        return Listener("values", self.name, context, self.model.follows[context], self._load, self._heed)

    @property
    def stopped(self) -> str:
        """Why it cannot go on."""
        return self.listener.detached

    @property
    def trouble(self) -> dict[str, str]:
        """What is wrong now, by context."""
        trouble = self.listener.trouble or self._care
        return {self.model.context: trouble} if trouble else {}

    @property
    def checkpoints(self) -> Mapping[str, Checkpoint]:
        return self.listener.checkpoints

    def beats(self) -> list[ModelBeat]:
        """How it is, as read models say it."""
        place = self.checkpoints.get(self.model.context)
        made: dict[str, Any] = {"generation": place.generation if place else 0, "version": self.model.version}
        beat = self.listener.beat()
        if self._care and not self.listener.error:
            beat |= {"state": "red", "error": self._care}
        return [ModelBeat(self.name, hops=self.hops[self.model.context].last_minute(), **made, **beat)]

    async def _load(self, follows: Follows) -> dict[str, Checkpoint]:
        async with self._lock:
            return {self.model.context: await self._shelf.load()}

    async def _heed(self, before: Checkpoint, run: list[Happened]) -> Checkpoint | None:
        async with self._lock:
            try:
                after = await self._advance(before, together(run))
            except Overtaken:
                after = None
            self.lost += after is None
        return after

    async def _advance(self, before: Checkpoint, run: Sequence[Happened]) -> Checkpoint | None:
        """Puts what the run makes of the values, and the place behind it. None when somebody else came before."""
        after, generation = behind(before, run), before.generation
        entries = await self._shelf.known(run)
        older = outdated(entries, generation, run)
        changed = folded(self.model, generation, run, entries)
        for key, entry in (await self._anew(older, after.position)).items():
            changed[key] = replace(entry, revision=entries[key].revision, generation=generation)
        if not await self._shelf.put(changed, after):
            return None
        visible = monotonic()
        self.shown[self.model.context] += len(run)
        self.sizes[self.model.context].add(len(run))
        await self._tell(Move(self.name, self.model.context, after.position, after.incarnation, generation))
        note_visible(self.hops[self.model.context], self._clocks, run, visible)
        return after

    async def _anew(self, keys: Collection[str], up_to: int) -> dict[str, Entry]:
        return await anew(self.model, self._codec, self._reader, keys, up_to)

    async def tend(self) -> None:
        """Looks after the bucket until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            try:
                async with self._lock:
                    await self._look()
            except PASSING as error:  # What keeps from putting shows there.
                log.debug("the bucket %s cannot be looked after: %s", self.name, error)
            except Exception as error:
                log.exception("the bucket %s cannot be looked after", self.name)
                self._care = f"it cannot be looked after: {type(error).__name__}: {error}"
            else:
                self._care = ""

    async def _look(self) -> None:
        """Whether the bucket is still the one that was kept, and all that is new in it our own."""
        if not self._shelf.made:
            return
        state = await self._shelf.state()
        if state is None or state["created"] != self._shelf.made:
            self._follow_anew()
        elif not self.stopped:
            async for strays in self._shelf.strays(state["state"]["last_seq"]):
                if strays:
                    await self._heal(strays)

    def _follow_anew(self) -> None:
        """The bucket is another one: whatever was wrong with that which was kept is over."""
        if self.stopped:
            self.listener = self._listener()
            self._join(self.listener)
        else:
            self.listener.lost()

    async def _heal(self, strays: Collection[str]) -> None:
        """Puts what belongs there over what somebody else has put under these keys."""
        log.warning("something else was put into the bucket %s under %s", self.name, ", ".join(sorted(strays)))
        shelf, place = self._shelf, self._shelf.bucket.place
        if place in strays:
            await shelf.mend_place()
        keys = [key for key in strays if is_token(key)]  # No other is an id: nobody asks for it, and it may be unfit.
        self.ignored += len(strays) - len(keys) - (place in strays)
        lost = await shelf.lost(keys)
        for key, entry in (await self._anew(lost, shelf.place.position)).items():
            await shelf.mend(key, replace(entry, revision=lost[key].revision, generation=shelf.place.generation))


def together(run: Sequence[Happened]) -> Sequence[Happened]:
    """As many of the events, from the first on, as change no more values than are put at once."""
    keys = set[str]()
    for place, each in enumerate(run):
        keys.add(each.stream)
        if len(keys) > MOST:
            return run[:place]
    return run
