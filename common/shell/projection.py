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

from common.bucketmodel import BucketModel
from common.readmodel import ReadModel
from common.recorded import VERSION, VERSION_HEADER
from common.shell.clocks import Clocks, bus_clock, store_clock
from common.shell.context_feed import ContextFeed
from common.shell.follower import Follower, Following
from common.shell.keeper import Keeper
from common.shell.news import Move, told
from common.shell.upkeep import Make, Upkeep, unmade
from common.store.reader import EventReader

log = logging.getLogger(__name__)

BEAT_S = 1.0
BATCH = 512
"""Events at most that are taken in together: rows that change several times in them are written once."""


class Projection:
    """Keeps the tables of read models, in a schema where `create_tables` has made them, and buckets.

    `make` does that again when all is lost. `readers` are by context.
    """

    def __init__(
        self,
        nc: Client,
        pool: Any,
        models: Sequence[ReadModel | BucketModel],
        readers: Mapping[str, EventReader],
        *,
        schema: str = "read",
        batch: int = BATCH,
        make: Make = unmade,
    ) -> None:
        self._nc, self._pool, self._schema, self.metrics = nc, pool, schema, ""
        contexts = sorted({context for model in models for context in model.follows})
        self.bus = bus_clock(nc, f"EVENTS_{contexts[0]}")
        self.clocks = {context: Clocks(self.bus, store_clock(readers[context])) for context in contexts}
        tables = [model for model in models if isinstance(model, ReadModel)]
        self.followers = {model.name: self._follower(model) for model in tables}
        self.keepers = {
            model.name: Keeper(
                nc, model, readers[model.context], self._join_feeds, self._tell, self.clocks[model.context]
            )
            for model in models
            if isinstance(model, BucketModel)
        }
        following: list[Following] = [*self.followers.values(), *(each.listener for each in self.keepers.values())]
        self.feeds = {
            context: ContextFeed(
                nc,
                context,
                [each for each in following if context in each.follows],
                readers[context],
                batch,
            )
            for context in contexts
        }
        self._upkeep = Upkeep(pool, tables, schema, self.followers, self._follow, self._join, self._part, make)

    @property
    def kept(self) -> dict[str, Follower | Keeper]:
        """Who keeps each table and bucket, now."""
        return {**self.followers, **self.keepers}

    def _follower(self, model: ReadModel) -> Follower:
        return Follower(self._pool, model, self._schema, self._tell, self.clocks)

    def _follow(self, model: ReadModel) -> None:
        self._join(self._follower(model))

    def _join(self, follower: Follower) -> None:
        self.followers[follower.name] = follower
        self._join_feeds(follower)

    def _part(self, name: str) -> None:
        for context in self.followers.pop(name).follows:
            self.feeds[context].part(name)

    def _join_feeds(self, follower: Following) -> None:
        for context in follower.follows:
            self.feeds[context].join(follower)

    async def run(self) -> None:
        """Until cancelled. A server that is away is waited for; a model that cannot go on is left out and beats red."""
        async with asyncio.TaskGroup() as group:
            for feed in self.feeds.values():
                group.create_task(feed.keep_running(), name=f"feed {feed.context}")
            for clock in (self.bus, *(each.store for each in self.clocks.values())):
                group.create_task(clock.run(), name="a clock")
            for keeper in self.keepers.values():
                group.create_task(keeper.tend(), name=f"care for {keeper.name}")
            group.create_task(self._upkeep.run(), name="upkeep of the read tables")
            group.create_task(self._beat(), name="beats of the read models")

    async def _beat(self) -> None:
        while True:
            for name, each in self.kept.items():
                for beat in each.beats() if self._nc.is_connected else ():
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
