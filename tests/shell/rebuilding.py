"""Read models of which there are two versions, and what is kept of them in a world."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from common.messages import Event
from common.readmodel import Key, ReadModel, sums
from common.shell.patience import AWAY
from common.shell.projection import Projection
from common.store.checkpoints import Checkpoint, read_checkpoints
from common.store.read_schema import create_tables
from tests.servers import until
from tests.shell.test_projection import drops, running
from tests.shell.toys import NOON, Added, Jar, jars
from tests.shell.worlds import World


class TimedJar(Jar, frozen=True):
    """A jar that also knows how often something fell into it, and what last."""

    times: int = 0
    last: str | None = None
    seen: tuple[str, ...] = ()


def timed_apply(row: TimedJar | None, stream: str, event: Event) -> TimedJar | None:
    if not isinstance(event, Added):
        return None
    before = row or TimedJar(stream, 0, [], NOON)
    return replace(
        before,
        drops=before.drops + event.drops,
        colours=[*before.colours, event.colour],
        times=before.times + 1,
        last=event.colour,
        seen=tuple(sorted({*before.seen, event.colour})),
    )


def old(*contexts: str) -> ReadModel:
    return replace(jars(*contexts), indexes=("drops DESC", "first"))


def new(*contexts: str, version: int = 2) -> ReadModel:
    return replace(old(*contexts), row=TimedJar, apply=timed_apply, version=version, indexes=("drops DESC", "times"))


def projection(world: World, *models: ReadModel, **options: Any) -> Projection:
    """As the projectors' process runs one: it makes tables that are missing."""
    make = partial(create_tables, world.settings.read_dsn, models, world.schema)
    return world.projection(*models, make=make, **options)


@asynccontextmanager
async def kept(world: World, *models: ReadModel, **options: Any) -> AsyncIterator[Projection]:
    await world.tables(*models)
    async with running(projection(world, *models, **options)) as found:
        yield found


async def project(world: World, model: ReadModel, position: int) -> None:
    """Keeps the model until this version of it is live and has come so far."""
    async with kept(world, model):
        await until(lambda: live_at(world, model, position))


async def places(world: World, model: ReadModel) -> dict[str, Checkpoint]:
    try:
        return await read_checkpoints(world.reads, model.name, world.schema)
    except AWAY:
        return {}


async def live_at(world: World, model: ReadModel, position: int) -> bool:
    """Whether the live table is of this version of the model and so far."""
    found = await places(world, model)
    return bool(found) and all(each.version == model.version and each.position >= position for each in found.values())


async def relations(world: World) -> list[str]:
    rows = await world.reads.fetch(
        "SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace($1) AND relkind IN ('r', 'i')", world.schema
    )
    return sorted(name for (name,) in rows if not name.startswith("checkpoints"))


async def record(world: World, count: int) -> None:
    done = (await world.reader.head()).position
    await world.record(*drops(count))
    while page := await world.reader.page(done, 512):
        await world.publish(*page)
        done = page[-1].position


class Fallen(Struct, frozen=True):
    """How many drops of a colour ever fell."""

    colour: str
    drops: int = 0


def fallen(*contexts: str) -> ReadModel:
    def adds(stream: str, event: Added) -> dict[Key, tuple[int, ...]]:
        return {(event.colour,): (event.drops,)}

    return sums(name="fallen", row=Fallen, key=("colour",), follows={each: (Added,) for each in contexts}, adds=adds)
