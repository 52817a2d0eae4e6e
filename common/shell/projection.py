"""Live projection: reads the events of each context once and hands them to all read models (protocol P8).

Each model knows by its own checkpoint what it has; whatever comes again is skipped. What does not come is found by the
next position, or by the head of the store when nothing comes for a second, and is then read from the store.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client

from common.bus.pull import Pulled, Puller
from common.readmodel import ReadModel
from common.recorded import VERSION, VERSION_HEADER, recorded_decoder
from common.shell.follower import Follower
from common.shell.patience import AWAY
from common.store.fold import PAGE, Happened, decoded, followed
from common.store.reader import EventReader

log = logging.getLogger(__name__)

IDLE_S = 1.0
"""Seconds without an event after which the store is asked for its head; also the rest after it could not be asked."""
BEAT_S = 1.0


class ContextFeed:
    """Feeds all models that follow one context. `strays` counts what was in the stream and is no event of ours."""

    def __init__(
        self, nc: Client, context: str, followers: Sequence[Follower], reader: EventReader, batch: int
    ) -> None:
        self.context, self.reader, self._nc, self._batch = context, reader, nc, batch
        self._followers = followers
        self._codec = followed([follower.model for follower in followers], context)
        self._rest_until = 0.0
        self.strays = 0
        self.healed = 0

    @property
    def live(self) -> list[Follower]:
        return [follower for follower in self._followers if not follower.detached]

    def lowest(self) -> int:
        """The position that every live model has reached."""
        return min(follower.checkpoints[self.context].position for follower in self.live)

    async def run(self) -> None:
        """Until cancelled, or until no model is left that can go on."""
        await asyncio.gather(*(follower.start() for follower in self._followers))
        if not self.live:
            return
        start = min(follower.checkpoints[self.context].stream_seq for follower in self.live) + 1
        puller = Puller(self._nc, f"EVENTS_{self.context}", [f"event.{self.context}.>"], start, batch=self._batch)
        try:
            while self.live:
                pulled = await puller.take(self._batch, timeout=IDLE_S)
                if events := self._decoded(pulled):
                    await self._hand_on(events)
                    self._note_behind(pulled[-1].pending > 0)
                else:
                    await self._look_at_head()
        finally:
            await puller.close()

    def _decoded(self, pulled: Sequence[Pulled]) -> list[Happened]:
        """The events among the messages. What a forged reply subject put there lacks our header, and counts nowhere."""
        events = []
        for message in pulled:
            if (message.headers or {}).get(VERSION_HEADER) == VERSION:
                try:
                    events.append(decoded(self._codec, recorded_decoder.decode(message.data), message.sequence))
                    continue
                except msgspec.MsgspecError:
                    log.warning("message %d of EVENTS_%s is no event", message.sequence, self.context)
            self.strays += 1
        return events

    async def _hand_on(self, events: Sequence[Happened]) -> None:
        """Hands events to all live models; reads from the store what one of them lacks before them."""
        while live := self.live:
            await asyncio.gather(*(follower.take(self.context, events) for follower in live))
            if not self.live or (low := self.lowest()) >= events[-1].position:
                return
            before = next(each.position for each in events if each.position > low)
            if not await self._heal(low, min(before - low - 1, PAGE)):
                return

    async def _heal(self, after: int, limit: int) -> bool:
        """Hands on what is missing, from the store; False when it is not to be had now."""
        return limit == 0 or (monotonic() >= self._rest_until and await self._page(after, limit))

    async def _page(self, after: int, limit: int) -> bool:
        try:
            page = await self.reader.page(after, limit)
        except AWAY as error:
            self._rest(error)
            return False
        self.healed += len(page)
        events = [decoded(self._codec, each) for each in page]
        await asyncio.gather(*(follower.take(self.context, events) for follower in self.live))
        return bool(page)

    async def _look_at_head(self) -> None:
        """Nothing came for a while: whether something should have is known by the store alone."""
        if monotonic() < self._rest_until:
            return
        seen = {follower: follower.checkpoints[self.context] for follower in self.live}
        try:
            head = await self.reader.head()
        except AWAY as error:
            self._rest(error)
            return
        for follower, checkpoint in seen.items():
            follower.check(self.context, checkpoint, head)
        while self.live and self.lowest() < head.position and await self._page(self.lowest(), PAGE):
            self._note_behind(True)
        self._note_behind(bool(self.live) and self.lowest() < head.position)

    def _rest(self, error: Exception) -> None:
        log.warning("the store of %s is away, missing events wait: %s", self.context, error)
        self._rest_until = monotonic() + IDLE_S

    def _note_behind(self, more: bool) -> None:
        for follower in self.live:
            (follower.behind.add if more else follower.behind.discard)(self.context)


class Projection:
    """Keeps the tables of read models, in a schema where `create_tables` has made them. `readers` are by context."""

    def __init__(
        self,
        nc: Client,
        pool: Any,
        models: Sequence[ReadModel],
        readers: Mapping[str, EventReader],
        *,
        schema: str = "read",
        batch: int = 256,
    ) -> None:
        self._nc = nc
        self.followers = {model.name: Follower(pool, model, schema) for model in models}
        self.feeds = {
            context: ContextFeed(
                nc,
                context,
                [each for each in self.followers.values() if context in each.model.follows],
                readers[context],
                batch,
            )
            for context in sorted({context for model in models for context in model.follows})
        }

    async def run(self) -> None:
        """Until cancelled. A server that is away is waited for; a model that cannot go on is left out and beats red."""
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds.values():
                group.create_task(feed.run(), name=f"feed {feed.context}")
            group.create_task(self._beat(), name="beats of the read models")

    async def _beat(self) -> None:
        while True:
            for name, follower in self.followers.items():
                for beat in follower.beats() if self._nc.is_connected else ():
                    await self._say(f"beat.projector.{name}", msgspec.json.encode(beat))
            await asyncio.sleep(BEAT_S)

    async def _say(self, subject: str, beat: bytes) -> None:
        try:
            await self._nc.publish(subject, beat, headers={VERSION_HEADER: VERSION})
        except nats.errors.Error as error:
            log.warning("a beat was not said: %s", error)
