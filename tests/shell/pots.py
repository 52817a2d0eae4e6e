"""A small read model in a bucket: pots, to which drops are added until they are emptied; and what keeps it."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec
from msgspec import Struct

from common.bucketmodel import BucketModel
from common.bus.api import ApiError, ask_jetstream
from common.bus.bucket import Bucket
from common.messages import Event
from common.shell.keeper import Keeper
from common.shell.projection import Projection
from common.store.fold import decoded, followed
from common.store.values import folded
from tests.shell.toys import Added, Emptied
from tests.shell.worlds import World

PART = 500


class Pot(Struct, frozen=True):
    """A pot that is not empty."""

    pot: str
    drops: int
    colours: list[str] = []
    version: int = 0
    position: int = 0


def pot_apply(pot: Pot | None, stream: str, event: Event) -> Pot | None:
    match event:
        case Added(drops=drops, colour=colour):
            before = pot or Pot(stream, 0)
            return msgspec.structs.replace(before, drops=before.drops + drops, colours=[*before.colours, colour])
        case _:
            return None


def pots(context: str, **changes: Any) -> BucketModel:
    follows = {context: (Added, Emptied)}
    made = BucketModel(name=f"pots-{context}", value=Pot, key="pot", follows=follows, apply=pot_apply)
    return msgspec.structs.replace(made, **changes)


class Kitchen:
    """A context's events, and the bucket that is made of them."""

    def __init__(self, world: World) -> None:
        self.world, self.nc = world, world.nc
        self.model = pots(world.name)
        self.bucket = Bucket(self.model)

    async def record(self, *events: tuple[str, Event]) -> None:
        """Records events, and publishes them."""
        before = (await self.world.reader.head()).position
        await self.world.record(*events)
        await self.world.publish(*await self.world.reader.page(before, 1000))

    @asynccontextmanager
    async def kept(self, model: BucketModel | None = None, **options: Any) -> AsyncIterator[Keeper]:
        """A projection that keeps the bucket and nothing else."""
        model, world = model or self.model, self.world
        projection = Projection(
            self.nc, world.reads, [model], {world.name: world.reader}, schema=world.schema, **options
        )
        task = asyncio.create_task(projection.run())
        try:
            yield projection.keepers[model.name]
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def reached(self, position: int) -> bool:
        """Whether the bucket says that it reflects a position."""
        try:
            _, progress = await self.bucket.progress(self.nc)
        except Exception:
            return False
        return progress is not None and progress.position >= position

    async def values(self) -> dict[str, Pot]:
        """What lies in the bucket, by key; as any client sees it."""
        subjects = f"$KV.{self.model.name}.>"
        info = await ask_jetstream(
            self.nc, f"STREAM.INFO.{self.bucket.stream}", {"subjects_filter": subjects, "deleted_details": False}
        )
        keys = [subject.rsplit(".", 1)[1] for subject in info["state"].get("subjects", {}) if subject.count(".") == 2]
        parts = [keys[start : start + PART] for start in range(0, len(keys), PART)]
        entries = {key: each for part in parts for key, each in (await self.bucket.entries(self.nc, part)).items()}
        return {key: entry.value for key, entry in entries.items() if entry.value is not None}

    async def wanted(self, model: BucketModel | None = None) -> Mapping[str, Pot]:
        """What a fold of the record gives."""
        model, after, found = model or self.model, 0, list[Any]()
        while page := await self.world.reader.page(after, 500):
            found += page
            after = page[-1].position
        codec = followed([model], self.world.name)
        entries = folded(model, 0, [decoded(codec, each) for each in found], {})
        return {key: entry.value for key, entry in entries.items() if entry.value is not None}

    async def close(self) -> None:
        with suppress(ApiError):
            await ask_jetstream(self.nc, f"STREAM.DELETE.{self.bucket.stream}", {})
