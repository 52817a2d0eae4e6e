"""Keeps a read model's bucket: what the events of its context make of each value is put there (protocol P8).

The values of a batch and the place behind it are stored together, or, when they are few, the place once the values are.
Each names the revision that it replaces. So of several keepers one comes first and the others look again, and after any
interruption the place is behind the values, never ahead: a value that has an event already skips it.

A value that cannot be gone on from is folded anew from its own events in the record: what an older version of the model
has left, once the fold has come to its last event, so that no value goes back; and what is not ours. Whatever else
becomes of the bucket is seen within a second: one that is lost is made again and filled from the record.
"""

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from time import monotonic, time_ns
from typing import Any

from msgspec.structs import replace
from nats.aio.client import Client

from common.bucketmodel import BucketModel
from common.bus.api import STREAM_NOT_FOUND, ApiError, ask_jetstream
from common.bus.batches import FEW, MAX_BATCH_BYTES, Batches
from common.bus.bucket import Bucket, Entry, Progress
from common.bus.outgoing import Ack, Message, Refused
from common.readmodel import Follows
from common.shell.asking import PASSING
from common.shell.clocks import UNTIMED, Clocks
from common.shell.contiguous import behind
from common.shell.durations import SIZES, Buckets
from common.shell.follower import ModelBeat, Tell, untold
from common.shell.listener import Listener
from common.shell.news import Move
from common.shell.visible import new_hops, note_visible
from common.store.checkpoints import Checkpoint
from common.store.fold import Happened, followed
from common.store.reader import EventReader
from common.store.values import Overtaken, anew, folded, outdated
from common.subjects import is_token

log = logging.getLogger(__name__)

MOST = 600
"""Events of a batch, at most: a server takes 1,000 messages as one."""
MOST_KEPT = 20_000
"""Entries that are remembered, at most; others are read when they change."""
LOOK_S = 1.0
LOOKED_AT = 1000
NO_STREAM, OTHER_REVISION = 503, 10071


class Newer(Exception):
    """What lies in the bucket is of a newer version of the model."""


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
        self._nc, self._reader, self._tell, self._clocks = nc, reader, tell, clocks
        self._bucket, self._codec = Bucket(model), followed([model], context)
        self._batches = Batches(nc, size=MOST + 1)
        self.listener, self._join = self._listener(), join
        self.hops = {context: new_hops()}
        self.shown, self.sizes = {context: 0}, {context: Buckets(SIZES)}
        self.lost = self.ignored = 0
        self._lock = asyncio.Lock()  # What is put replaces what is remembered.
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._made, self._seen, self._revision = "", 0, 0
        self._progress: Progress | None = None
        self._care = ""  # What keeps us from looking after it.

    def _listener(self) -> Listener:
        context = self.model.context
        return Listener("values", self.name, context, self.model.follows[context], self._load, self._heed)

    @property
    def detached(self) -> str:
        return self.listener.detached

    @property
    def stopped(self) -> str:
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

    async def _load(self, follows: Follows) -> dict[str, Checkpoint]:
        """The place that is stored. Makes the bucket where there is none, and begins where nobody has."""
        async with self._lock:
            self._entries.clear()
            made = (await self._state() or await self._make())["created"]
            revision, found = await self._bucket.progress(self._nc)
            if found is None and made == self._made:
                found = self._progress  # Somebody has put something else over it.
            if found is None or found.version != self.model.version:
                revision, found = await self._begin(revision, found)
            self._seen = max(found.seen, self._seen if made == self._made else 0)
            self._made, self._revision, self._progress = made, revision, found
            place = Checkpoint(found.position, found.incarnation, found.stream_seq, found.generation)
            return {self.model.context: place}

    async def _begin(self, revision: int, found: Progress | None) -> tuple[int, Progress]:
        """A new generation of the fold, from the first event on."""
        if found and found.version > self.model.version:
            raise Newer(f"version {found.version} of it is there, this is {self.model.version}: start the newer code")
        generation = max(time_ns() // 1_000_000, found.generation + 1 if found else 0)
        progress = Progress(self.model.version, generation)
        (ack,) = await self._batches.publish_all([self._bucket.move(progress, revision)])
        return ack.sequence, progress

    async def _heed(self, before: Checkpoint, run: list[Happened]) -> Checkpoint | None:
        async with self._lock:
            try:
                after = await self._advance(before, run[:MOST])
            except Overtaken:
                after = None
            except Refused as refused:
                if refused.code not in (OTHER_REVISION, NO_STREAM):
                    raise
                after = None
            self.lost += after is None
        return after

    async def _advance(self, before: Checkpoint, run: Sequence[Happened]) -> Checkpoint:
        """Puts what the run makes of the values, and the place behind it."""
        after, generation = behind(before, run), before.generation
        entries = await self._known({each.stream for each in run})
        older = outdated(entries, generation, run)
        changed = folded(self.model, generation, run, entries)
        for key, entry in (await self._anew(older, after.position)).items():
            changed[key] = replace(entry, revision=entries[key].revision, generation=generation)
        await self._put(changed, after)
        visible = monotonic()
        self.shown[self.model.context] += len(run)
        self.sizes[self.model.context].add(len(run))
        await self._tell(Move(self.name, self.model.context, after.position, after.incarnation, generation))
        note_visible(self.hops[self.model.context], self._clocks, run, visible)
        return after

    async def _known(self, keys: Collection[str]) -> dict[str, Entry]:
        """What is stored under these keys, as far as there is anything."""
        self._keep(await self._bucket.entries(self._nc, [key for key in keys if key not in self._entries]))
        return {key: self._entries[key] for key in keys if key in self._entries}

    def _keep(self, entries: Mapping[str, Entry]) -> None:
        for key, entry in entries.items():
            self._entries[key] = entry
            self._entries.move_to_end(key)

    async def _anew(self, keys: Collection[str], up_to: int) -> dict[str, Entry]:
        return await anew(self.model, self._codec, self._reader, keys, up_to)

    async def _put(self, changed: Mapping[str, Entry], after: Checkpoint) -> None:
        place = after.generation, after.position, after.incarnation, after.stream_seq
        progress = Progress(self.model.version, *place, self._seen)
        values = [self._bucket.put(key, entry) for key, entry in changed.items()]
        acks = await self._stored(values, self._bucket.move(progress, self._revision))
        if (acks[0].sequence, acks[-1].sequence) == (self._seen + 1, self._seen + len(acks)):
            self._seen += len(acks)  # Nobody has put anything in between.
        self._revision, self._progress = acks[-1].sequence, progress
        self._keep({key: replace(changed[key], revision=ack.sequence) for key, ack in zip(changed, acks, strict=False)})
        while len(self._entries) > MOST_KEPT:
            self._entries.popitem(last=False)

    async def _stored(self, values: Sequence[Message], place: Message) -> list[Ack]:
        """All as one batch; or the values first, where the place could be stored without them."""
        if len(values) >= FEW and sum(len(each.body) for each in values) < MAX_BATCH_BYTES // 2:
            return await self._batches.publish_all([*values, place])
        return await self._batches.publish_all(values) + await self._batches.publish_all([place])

    async def _look(self) -> None:
        """Whether the bucket is still the one that was kept, and all that is new in it our own."""
        if self._progress is None:
            return
        state = await self._state()
        if state is None or state["created"] != self._made:
            self._follow_anew()
            return
        if self.detached:
            return
        while self._seen < state["state"]["last_seq"]:
            seen, strays = await self._bucket.strays(self._nc, self._seen + 1, LOOKED_AT)
            if strays:
                await self._heal(strays, self._progress)
            self._seen = max(seen, self._seen) if seen > self._seen else state["state"]["last_seq"]

    def _follow_anew(self) -> None:
        """The bucket is another one: whatever was wrong with that which was kept is over."""
        if self.detached:
            self.listener = self._listener()
            self._join(self.listener)
        else:
            self.listener.lost()

    async def _heal(self, strays: Collection[str], progress: Progress) -> None:
        """Puts what belongs there over what somebody else has put under these keys."""
        log.warning("something else was put into the bucket %s under %s", self.name, ", ".join(sorted(strays)))
        if self._bucket.place in strays:
            revision, found = await self._bucket.progress(self._nc)
            if found is None:
                (ack,) = await self._batches.publish_all([self._bucket.move(progress, revision)])
                self._revision = ack.sequence
        keys = [key for key in strays if is_token(key)]  # No other is an id: nobody asks for it, and it may be unfit.
        self.ignored += len(strays) - len(keys) - (self._bucket.place in strays)
        there = await self._bucket.entries(self._nc, keys)  # What is read of a stray's key may be another's.
        lost = [key for key, entry in there.items() if not entry.generation]
        for key, entry in (await self._anew(lost, progress.position)).items():
            entry = replace(entry, revision=there[key].revision, generation=progress.generation)
            await self._batches.publish_all([self._bucket.put(key, entry)])
            self._entries.pop(key, None)

    async def _state(self) -> dict[str, Any] | None:
        """What the server says of the bucket's stream; None when there is none."""
        try:
            return await ask_jetstream(self._nc, f"STREAM.INFO.{self._bucket.stream}", {})
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise Refused(error.code, str(error)) from None
            return None

    async def _make(self) -> dict[str, Any]:
        try:
            return await ask_jetstream(self._nc, f"STREAM.CREATE.{self._bucket.stream}", self._bucket.config)
        except ApiError as error:
            raise Refused(error.code, str(error)) from None
