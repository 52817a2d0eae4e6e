"""What the next version of a read model may change, and what code of the other version does with its table (P12)."""

import asyncio
from typing import Any

import pytest
from msgspec import Struct
from msgspec.structs import replace

from common.store.read_schema import TableDiffers
from common.store.read_tables import Table
from common.store.swap import begin_anew
from tests.servers import until
from tests.shell.rebuilding import TimedJar, kept, live_at, new, old, project, projection, record, relations
from tests.shell.test_projection import owner_of_reads_says, running
from tests.shell.toys import NOON, Jar
from tests.shell.worlds import World


class Untimed(Jar, frozen=True, kw_only=True):
    times: int


class OtherJar(Struct, frozen=True):
    jar: str
    drops: str
    colours: list[str]
    first: str


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"row": Untimed}, "times is new: give it a default"),
        ({"row": OtherJar}, "drops was bigint: give what it holds now another name"),
        ({"key": ("jar", "drops")}, "its key was jar: give the model another name"),
    ],
)
async def test_what_cannot_be_read_from_the_old_table_is_refused(
    world: World, changed: dict[str, Any], why: str
) -> None:
    await world.tables(old(world.name))
    with pytest.raises(TableDiffers, match=why):
        await world.tables(replace(old(world.name), version=2, **changed))
    await world.tables(old(world.name))


async def test_a_field_added_for_a_version_that_never_was_live_may_become_another_in_the_next(world: World) -> None:
    class Times(Jar, frozen=True):
        times: str = ""

    await world.tables(old(world.name))
    await world.tables(new(world.name))
    await world.tables(replace(old(world.name), row=Times, version=3))
    kind = await world.reads.fetchval(
        "SELECT data_type FROM information_schema.columns"
        " WHERE table_schema = $1 AND table_name = 'jars' AND column_name = 'times'",
        world.schema,
    )
    assert kind == "text"


async def test_a_changed_table_without_a_new_version_is_refused_and_the_remedy_named(world: World) -> None:
    await world.tables(old(world.name))
    with pytest.raises(TableDiffers, match="count `version` of the model up"):
        await world.tables(replace(new(world.name), version=1))


async def test_other_indexes_need_no_new_version(world: World) -> None:
    await world.tables(old(world.name))
    await world.tables(replace(old(world.name), indexes=("first", "drops, jar")))
    assert await relations(world) == ["jars", "jars_drops_jar", "jars_first", "jars_pkey"]


async def test_checkpoints_of_before_versions_are_of_the_first(world: World) -> None:
    await record(world, 10)
    await project(world, old(world.name), 10)
    await owner_of_reads_says(world, "ALTER TABLE {s}.checkpoints DROP COLUMN version")
    await project(world, new(world.name), 10)


async def test_until_then_the_new_code_reads_the_old_table_with_new_fields_at_their_defaults(world: World) -> None:
    await record(world, 5)
    await project(world, old(world.name), 5)
    await world.tables(new(world.name))
    table = Table(new(world.name), world.schema)
    row = table.kept(await world.reads.fetchrow(f"{table.select} WHERE jar = 'jar-3'")).row
    assert row == TimedJar("jar-3", 3, ["red"], NOON, times=0, last=None, seen=())


async def test_a_process_of_the_old_version_keeps_the_old_table_until_the_swap_and_never_writes_again(
    world: World,
) -> None:
    await record(world, 400)
    model = new(world.name)
    async with kept(world, old(world.name), batch=16) as before:
        await until(lambda: world.reached(old(world.name), 400))
        async with asyncio.timeout(30), kept(world, model, batch=16) as after:
            while not await live_at(world, model, 0):
                await record(world, 10)
            left = before.followers["jars"]
            await record(world, 30)
            await until(lambda: bool(left.detached))
            assert ("version 2 of it is live" in left.detached, left.beats()) == (True, [])
            head = (await world.reader.head()).position
            await until(lambda: live_at(world, model, head))
            await until(lambda: [each.state for each in after.followers["jars"].beats()] == ["live"])
            assert list(after.followers) == ["jars"]
    assert await world.differences(model) == []


async def test_old_code_started_again_does_not_touch_the_new_table_and_says_what_to_do(world: World) -> None:
    await record(world, 30)
    await project(world, new(world.name), 30)
    model = old(world.name)
    async with kept(world, model) as found:
        await until(lambda: bool(found.followers["jars"].detached))
        (beat,) = found.followers["jars"].beats()
        assert (beat.state, beat.position, beat.version) == ("red", 30, 2)
        assert beat.error == "version 2 of it is live, and this is 1: start the newer code, or daybook rebuild jars" + (
            " with this one"
        )
        await begin_anew(world.settings.read_dsn, model, world.schema)
        await until(lambda: live_at(world, model, 30))
        await until(lambda: [each.state for each in found.followers["jars"].beats()] == ["live"])
        await record(world, 10)
        await until(lambda: live_at(world, model, 40))
    assert await world.differences(model) == []


async def test_old_code_started_again_before_the_swap_goes_on_as_ever(world: World) -> None:
    await record(world, 30)
    await project(world, old(world.name), 30)
    await world.tables(new(world.name))
    await record(world, 10)
    await project(world, old(world.name), 40)
    assert await world.differences(old(world.name)) == []


async def test_newer_code_that_still_runs_leaves_a_table_that_was_taken_back(world: World) -> None:
    await record(world, 30)
    async with kept(world, new(world.name)) as newer:
        await until(lambda: live_at(world, new(world.name), 30))
        async with running(projection(world, old(world.name))):
            await begin_anew(world.settings.read_dsn, old(world.name), world.schema)
            await until(lambda: live_at(world, old(world.name), 30))
            await until(lambda: newer.followers["jars"].beats() == [])
            await record(world, 10)
            await until(lambda: live_at(world, old(world.name), 40))
    assert await world.differences(old(world.name)) == []
