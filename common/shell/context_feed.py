"""Feeding whoever follows one context: what comes by its stream, and from the store what does not (protocol P8).

No follower waits for another. One that lacks something, is slow, or cannot be written leaves the others and comes back
by itself: it takes what it has missed, from what is kept of the last events or from the store, until it meets them.
"""

import asyncio
import logging
import random
from collections.abc import Awaitable, Sequence
from contextlib import suppress
from time import monotonic
from typing import TypeVar

import msgspec
from nats.aio.client import Client

from common.bus.pull import Pulled, Puller
from common.recorded import VERSION, VERSION_HEADER, recorded_decoder
from common.shell.follower import Following
from common.shell.latest import Latest
from common.shell.patience import AWAY, LONGEST_S, SHORTEST_S
from common.store.fold import Happened, decoded, followed
from common.store.reader import EventReader

log = logging.getLogger(__name__)

Result = TypeVar("Result")

IDLE_S = 1.0
"""Seconds without an event after which the store is asked for its head."""
LATE_S = 1.0
"""Seconds after which the others go on without a model that has not taken in what they have."""


class ContextFeed:
    """Feeds all models that follow one context.

    `strays` counts what was in the stream and is no event of ours, `healed` what was read from the store, for each
    model.
    """

    def __init__(
        self, nc: Client, context: str, followers: Sequence[Following], reader: EventReader, batch: int
    ) -> None:
        self.context, self.reader, self._nc, self._batch = context, reader, nc, batch
        self._followers = list(followers)
        self._codec = followed(followers, context)
        self._together: list[Following] = []  # Those who have all that was handed on.
        self._returning: set[asyncio.Task[None]] = set()
        self._came_back, self._joined = asyncio.Event(), asyncio.Event()
        self._group: asyncio.TaskGroup | None = None
        self._begin("")
        self._active = -IDLE_S
        self._store_trouble = ""
        self.strays = self.healed = 0

    @property
    def live(self) -> list[Following]:
        return [follower for follower in self._followers if not follower.detached]

    def join(self, follower: Following) -> None:
        """Feeds one more from now on, in place of another of its name."""
        self.part(follower.name)
        self._followers.append(follower)
        self._joined.set()
        if self._group:
            self._leave(follower)

    def part(self, name: str) -> None:
        """Keeps nothing any more of one that has detached."""
        self._followers = [each for each in self._followers if each.name != name]

    async def keep_running(self) -> None:
        """Until cancelled: when no model is left that can go on, one may still join."""
        while True:
            await self.run()
            await self._joined.wait()

    async def run(self) -> None:
        """Until cancelled, or until no model is left that can go on.

        It begins with nothing: that all have detached may mean that the store is another one by now.
        """
        self._joined.clear()
        self._together = []
        self._begin("")
        async with asyncio.TaskGroup() as self._group:
            try:
                for follower in self._followers:
                    self._leave(follower)
                if await self._company():
                    await self._follow()
            finally:
                self._group = None  # It may be at its end: who joins now is fed by the next one.

    def _begin(self, incarnation: str) -> None:
        self._incarnation = incarnation
        self._reached = 0  # The position that those have who are together.
        self._latest = Latest()

    def _meet(self, incarnation: str) -> None:
        """Begins with nothing when the store is another one by now: who comes late must get nothing of the last one."""
        if incarnation != self._incarnation:
            self._begin(incarnation)

    async def _follow(self) -> None:
        puller = Puller(
            self._nc, f"EVENTS_{self.context}", [f"event.{self.context}.>"], self._start(), batch=self._batch
        )
        try:
            while await self._company():
                pulled = await puller.take(self._batch, timeout=IDLE_S)
                if events := self._decoded(pulled):
                    await self._hand_on(events, pulled[-1].pending > 0)
                elif monotonic() - self._active >= IDLE_S:
                    await self._look_at_head()
        finally:
            await puller.close()

    def _start(self) -> int:
        """Where to read on in the stream. Who never was there has come through the store, and goes on there."""
        places = [follower.checkpoints[self.context].stream_seq for follower in self._together]
        return min((place for place in places if place), default=0) + 1

    async def _company(self) -> bool:
        """Waits until there is a model to hand something to; False when there will be none any more.

        What kept all away is over for all of them when it is over for one, so it gives the others a moment.
        """
        while not self._together and self.live:
            await asyncio.wait(self._returning, timeout=LATE_S, return_when=asyncio.FIRST_COMPLETED)
            if self._together and self._returning:
                await asyncio.wait(self._returning, timeout=LATE_S)
        return bool(self.live)

    def _decoded(self, pulled: Sequence[Pulled]) -> list[Happened]:
        """The events among the messages. What a forged reply subject put there lacks our header, and counts nowhere."""
        events = []
        for message in pulled:
            if message.says(VERSION_HEADER, VERSION):
                try:
                    recorded = recorded_decoder.decode(message.data)
                    events.append(decoded(self._codec, recorded, message.sequence, message.at))
                    continue
                except msgspec.MsgspecError:
                    log.warning("message %d of EVENTS_%s is no event", message.sequence, self.context)
            self.strays += 1
        return events

    async def _hand_on(self, events: Sequence[Happened], more: bool) -> None:
        self._active = monotonic()
        self._meet(events[-1].incarnation)
        self._latest.add(events)
        assert self._group
        takes = [self._group.create_task(each.take(self.context, events)) for each in self._together]
        if takes:
            await asyncio.wait(takes, timeout=LATE_S)
        self._expect(max(each.position for each in events), more)

    def _expect(self, position: int, more: bool) -> None:
        """Goes on with those who have all up to a position; the others leave. Shows who is behind."""
        self._reached = max(self._reached, position)
        together, self._together = self._together, []
        for follower in together:
            if follower.detached:
                continue
            if follower.at(self.context) < self._reached:
                self._leave(follower)
                continue
            self._together.append(follower)
            (follower.behind.add if more else follower.behind.discard)(self.context)

    def _leave(self, follower: Following) -> None:
        assert self._group
        follower.behind.add(self.context)
        task = self._group.create_task(self._come_back(follower))
        self._returning.add(task)
        task.add_done_callback(self._returning.discard)

    async def _come_back(self, follower: Following) -> None:
        """Gives one model what it lacks, for as long as it takes, until it has all that the others have."""
        delay = SHORTEST_S
        while not follower.detached and not follower.well(self.context, self._reached):
            before = follower.at(self.context)
            await follower.take(self.context, await self._missing(follower))
            if follower.at(self.context) > before:
                delay = SHORTEST_S
            elif not follower.well(self.context, self._reached):
                await self._another_within(delay * random.uniform(0.7, 1.3))
                delay = min(2 * delay, LONGEST_S)
        if not follower.detached:
            self._together.append(follower)
        self._came_back.set()  # Wakes those who wait now, nobody else.
        self._came_back.clear()

    async def _another_within(self, seconds: float) -> None:
        """Rests so long, or until another model has come back: then the others may be able to, too."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._came_back.wait()

    async def _missing(self, follower: Following) -> Sequence[Happened]:
        """What comes next for a model: of what was handed on lately if it fits, else from the store."""
        at = follower.at(self.context)
        if self.context not in follower.checkpoints or at >= self._reached:
            return ()  # To take nothing loads its checkpoints.
        if kept := self._latest.after(at):
            return kept
        incarnation = self._incarnation
        page = await self._asked(self.reader.page(at, self._latest.missing(at))) or ()
        if not page or self._incarnation != incarnation:
            return ()  # Of a page that was asked for before the store was replaced, nothing.
        self._meet(page[-1].incarnation)
        self.healed += len(page)
        return [decoded(self._codec, each) for each in page]

    async def _look_at_head(self) -> None:
        """Nothing came for a while: whether something should have is known by the store alone."""
        self._active = monotonic()
        seen = {follower: follower.checkpoints[self.context] for follower in self._together}
        head = await self._asked(self.reader.head())
        if head is None:
            return
        for follower, checkpoint in seen.items():
            follower.check(self.context, checkpoint, head)
        if head.position < self._reached:
            self._begin(head.incarnation)
        self._meet(head.incarnation)
        self._expect(head.position, False)

    async def _asked(self, question: Awaitable[Result]) -> Result | None:
        """What the store answers; None while it is away."""
        try:
            answer = await question
        except AWAY as error:
            trouble = f"{type(error).__name__}: {error}"
            if trouble != self._store_trouble:  # Said once, not at each of many tries.
                log.warning("the store of %s is away, missing events wait: %s", self.context, trouble)
            self._store_trouble = trouble
            return None
        self._store_trouble = ""
        return answer
