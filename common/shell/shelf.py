"""A bucket as its keeper knows it: which one it is, what lies there, and how far it is folded (protocol P8).

Each message names the revision that it replaces. So of several keepers one comes first and the others look again. A
stream's first event finds nothing under its key: that is not asked but put to the test, and asked for a while when the
server has refused it.
"""

from collections import OrderedDict
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from time import time_ns
from typing import Any

from msgspec.structs import replace
from nats.aio.client import Client

from common.bucketmodel import BucketModel
from common.bus.api import STREAM_NOT_FOUND, ApiError, ask_jetstream
from common.bus.batches import FEW, MAX_BATCH_BYTES, Batches
from common.bus.bucket import Bucket, Entry, Progress
from common.bus.outgoing import Ack, Message, Refused
from common.store.checkpoints import NOWHERE, Checkpoint
from common.store.fold import Happened

MOST = 900
"""Values that are put at once, at most: a server takes 1,000 messages as one."""
MOST_KEPT = 20_000
"""Entries that are remembered, at most; others are read when they change."""
DOUBTED = 10_000
"""Of so many events, once something lay where nothing was expected, the first of a stream is not expected to be so."""
LOOKED_AT = 1000
NO_STREAM, OTHER_REVISION = 503, 10071


class Newer(Exception):
    """What lies in the bucket is of a newer version of the model."""


class Shelf:
    """For one task at a time: what is put replaces what is known. `made` is when the bucket was, "" while unknown."""

    def __init__(self, nc: Client, model: BucketModel) -> None:
        self._nc, self._model = nc, model
        self.bucket, self._batches = Bucket(model), Batches(nc, size=MOST + 1)
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self.made, self._revision = "", 0
        self._seen = self._doubted = 0
        self._progress: Progress | None = None

    @property
    def place(self) -> Checkpoint:
        """How far it is folded, as far as is known."""
        found = self._progress
        return Checkpoint(found.position, found.incarnation, found.stream_seq, found.generation) if found else NOWHERE

    async def load(self) -> Checkpoint:
        """The place that is stored. Makes the bucket where there is none, and begins where nobody has.

        Raises `Newer`.
        """
        self._entries.clear()
        made = (await self.state() or await self._make())["created"]
        revision, found = await self.bucket.progress(self._nc)
        if found is None and made == self.made:
            found = self._progress  # Somebody has put something else over it.
        if found is None or found.version != self._model.version:
            revision, found = await self._begin(revision, found)
        self._seen = max(found.seen, self._seen if made == self.made else 0)
        self.made, self._revision, self._progress = made, revision, found
        return self.place

    async def _begin(self, revision: int, found: Progress | None) -> tuple[int, Progress]:
        """A new generation of the fold, from the first event on."""
        version = self._model.version
        if found and found.version > version:
            raise Newer(f"version {found.version} of it is there, this is {version}: start the newer code")
        progress = Progress(version, max(time_ns() // 1_000_000, found.generation + 1 if found else 0))
        (ack,) = await self._batches.publish_all([self.bucket.move(progress, revision)])
        return ack.sequence, progress

    async def known(self, run: Sequence[Happened]) -> dict[str, Entry]:
        """What lies under the keys of these events, as far as there is anything."""
        keys = {each.stream for each in run}
        new = {each.stream for each in run if each.version == 1 and each.position > self._doubted}
        self._keep(await self.bucket.entries(self._nc, [key for key in keys - new if key not in self._entries]))
        return {key: self._entries[key] for key in keys if key in self._entries}

    def _keep(self, entries: Mapping[str, Entry]) -> None:
        for key, entry in entries.items():
            self._entries[key] = entry
            self._entries.move_to_end(key)

    async def put(self, changed: Mapping[str, Entry], after: Checkpoint) -> bool:
        """Puts these entries, and the place behind them. False when something else was there: it is to be loaded."""
        place = after.generation, after.position, after.incarnation, after.stream_seq
        progress = Progress(self._model.version, *place, self._seen)
        values = [self.bucket.put(key, entry) for key, entry in changed.items()]
        try:
            acks = await self._stored(values, self.bucket.move(progress, self._revision))
        except Refused as refused:
            if refused.code not in (OTHER_REVISION, NO_STREAM):
                raise
            self._doubted = after.position + DOUBTED
            return False
        if (acks[0].sequence, acks[-1].sequence) == (self._seen + 1, self._seen + len(acks)):
            self._seen += len(acks)  # Nobody has put anything in between.
        self._revision, self._progress = acks[-1].sequence, progress
        self._keep({key: replace(changed[key], revision=ack.sequence) for key, ack in zip(changed, acks, strict=False)})
        while len(self._entries) > MOST_KEPT:
            self._entries.popitem(last=False)
        return True

    async def _stored(self, values: Sequence[Message], place: Message) -> list[Ack]:
        """All as one batch; or the values first, where the place could be stored without them."""
        if len(values) >= FEW and sum(len(each.body) for each in values) < MAX_BATCH_BYTES // 2:
            return await self._batches.publish_all([*values, place])
        return await self._batches.publish_all(values) + await self._batches.publish_all([place])

    async def strays(self, last: int) -> AsyncIterator[Collection[str]]:
        """The keys under which somebody else has put something since this was asked, up to a sequence; in parts."""
        while self._seen < last:
            seen, strays = await self.bucket.strays(self._nc, self._seen + 1, LOOKED_AT)
            yield strays.keys()
            self._seen = max(seen, self._seen) if seen > self._seen else last

    async def mend_place(self) -> None:
        """Puts the place again where somebody else has put something over it."""
        revision, found = await self.bucket.progress(self._nc)
        if found is None and self._progress:
            (ack,) = await self._batches.publish_all([self.bucket.move(self._progress, revision)])
            self._revision = ack.sequence

    async def lost(self, keys: Collection[str]) -> dict[str, Entry]:
        """What lies under those of these keys that hold nothing of ours. What is read of a stray may be another's."""
        there = await self.bucket.entries(self._nc, keys)
        return {key: entry for key, entry in there.items() if not entry.generation}

    async def mend(self, key: str, entry: Entry) -> None:
        """Puts what belongs there over what somebody else has put."""
        await self._batches.publish_all([self.bucket.put(key, entry)])
        self._entries.pop(key, None)

    async def state(self) -> dict[str, Any] | None:
        """What the server says of the bucket's stream; None when there is none."""
        try:
            return await ask_jetstream(self._nc, f"STREAM.INFO.{self.bucket.stream}", {})
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise Refused(error.code, str(error)) from None
            return None

    async def _make(self) -> dict[str, Any]:
        try:
            return await ask_jetstream(self._nc, f"STREAM.CREATE.{self.bucket.stream}", self.bucket.config)
        except ApiError as error:
            raise Refused(error.code, str(error)) from None
