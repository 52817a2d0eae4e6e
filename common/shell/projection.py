"""Live projection: reads the events of each context once and hands them to all read models (protocol P8).

Each model knows by its own checkpoint what it has; whatever comes again is skipped. What does not come is found by the
next position, or by the head of the store when nothing comes for a second, and is then read from the store.
"""

import asyncio
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import nats.errors
from msgspec.structs import replace
from nats.aio.client import Client

from common.readmodel import ReadModel
from common.recorded import VERSION, VERSION_HEADER
from common.shell.clocks import Clocks, bus_clock, store_clock
from common.shell.context_feed import ContextFeed
from common.shell.follower import Follower
from common.shell.news import Move, told
from common.store.reader import EventReader

log = logging.getLogger(__name__)

BEAT_S = 1.0


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
        self._nc, self.metrics = nc, ""
        contexts = sorted({context for model in models for context in model.follows})
        self.bus = bus_clock(nc, f"EVENTS_{contexts[0]}")
        self.clocks = {context: Clocks(self.bus, store_clock(readers[context])) for context in contexts}
        self.followers = {model.name: Follower(pool, model, schema, self._tell, self.clocks) for model in models}
        self.feeds = {
            context: ContextFeed(
                nc,
                context,
                [each for each in self.followers.values() if context in each.model.follows],
                readers[context],
                batch,
            )
            for context in contexts
        }

    async def run(self) -> None:
        """Until cancelled. A server that is away is waited for; a model that cannot go on is left out and beats red."""
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds.values():
                group.create_task(feed.run(), name=f"feed {feed.context}")
            for clock in (self.bus, *(each.store for each in self.clocks.values())):
                group.create_task(clock.run(), name="a clock")
            group.create_task(self._beat(), name="beats of the read models")

    async def _beat(self) -> None:
        while True:
            for name, follower in self.followers.items():
                for beat in follower.beats() if self._nc.is_connected else ():
                    clocks = self.clocks[beat.context].offsets()
                    whole = replace(beat, clocks=clocks, pid=os.getpid(), metrics=self.metrics)
                    await self._say(f"beat.projector.{name}", msgspec.json.encode(whole))
            await asyncio.sleep(BEAT_S)

    async def _tell(self, move: Move) -> None:
        if self._nc.is_connected:
            await self._say(f"moved.{move.model}", told(move))

    async def _say(self, subject: str, said: bytes) -> None:
        try:
            await self._nc.publish(subject, said, headers={VERSION_HEADER: VERSION})
        except nats.errors.Error as error:
            log.warning("%s was not said: %s", subject, error)
