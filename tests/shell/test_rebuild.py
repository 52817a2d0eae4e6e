"""A read model's next version (P12): built beside the live table, which serves until it is as far; then swapped."""

import asyncio
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest
from msgspec.structs import replace

from common.readmodel import ReadModel, building
from common.shell.projection import Projection
from common.store.checkpoints import Checkpoint
from common.store.fold import equal_to_fresh_fold
from common.store.read_schema import create_tables
from common.store.swap import begin_anew
from tests.servers import until
from tests.shell.rebuilding import kept, live_at, new, old, places, project, projection, record, relations
from tests.shell.test_projection import owner_of_reads_says, running
from tests.shell.worlds import World


async def test_a_new_version_is_built_and_takes_the_place_of_the_old(world: World) -> None:
    await record(world, 300)
    await project(world, old(world.name), 300)
    (before,) = (await places(world, old(world.name))).values()
    model = new(world.name)
    async with kept(world, model):
        await until(lambda: live_at(world, model, 300))
        assert await world.differences(model) == []
        await record(world, 20)
        await until(lambda: live_at(world, model, 320))
    assert await world.differences(model) == []
    (after,) = (await places(world, model)).values()
    assert after.generation > before.generation
    assert await relations(world) == ["jars", "jars_drops_desc", "jars_pkey", "jars_times"]


async def test_while_it_is_built_it_has_a_line_of_its_own_and_the_live_one_shows_where_it_stands(world: World) -> None:
    await record(world, 40)
    await project(world, old(world.name), 40)
    model = new(world.name)
    async with kept(world, model) as found:
        async with world.reads.acquire() as reader, reader.transaction():
            await reader.fetch(f"SELECT FROM {world.schema}.jars")  # Nobody can swap as long as it reads.
            await until(lambda: "jars__2" in found.followers and found.followers["jars__2"].at(world.name) == 40)
            (live,), (beside,) = (found.followers[name].beats() for name in ("jars", "jars__2"))
            shown = live.state, live.error, live.version, live.position, live.building
            assert shown == ("rebuilding", "", 1, 40, False)
            assert (beside.state, beside.version, beside.position, beside.building) == ("rebuilding", 2, 40, True)
            assert not await live_at(world, model, 0)
        await until(lambda: live_at(world, model, 40))


async def test_what_keeps_a_table_from_taking_its_place_is_shown_and_tried_again_until_it_can(world: World) -> None:
    await record(world, 40)
    await project(world, old(world.name), 40)
    model = new(world.name)
    await owner_of_reads_says(world, "REVOKE ALL ON {s}.jars FROM daybook_owner")
    async with kept(world, model) as found:
        await until(lambda: "jars__2" in found.followers and bool(found.followers["jars__2"].hindrance))
        (beat,) = found.followers["jars__2"].beats()
        assert (beat.state, "permission denied for table jars" in beat.error, beat.building) == ("red", True, True)
        await record(world, 10)
        await until(lambda: world.reached(building(model), 50))
        await owner_of_reads_says(world, "GRANT ALL ON {s}.jars TO daybook_owner")
        await until(lambda: live_at(world, model, 50))
    assert await world.differences(model) == []


@pytest.mark.parametrize("version", [1, 2])
async def test_indexes_may_change_while_the_table_is_built(world: World, version: int) -> None:
    await record(world, 40)
    await project(world, old(world.name), 40)
    model = new(world.name) if version == 2 else old(world.name)
    await world.tables(model)
    if version == 1:
        await begin_anew(world.settings.read_dsn, model, world.schema)
    (begun,) = (await places(world, building(model))).values()
    other = replace(model, indexes=("first", "drops, jar"))
    async with kept(world, other):
        await until(lambda: live_at(world, other, 40))
        await until(lambda: live_generation(world, other, begun.generation))
    assert await relations(world) == ["jars", "jars_drops_jar", "jars_first", "jars_pkey"]
    assert await world.differences(other) == []


async def live_generation(world: World, model: ReadModel, least: int) -> bool:
    return all(each.generation >= least for each in (await places(world, model)).values())


async def test_a_third_version_in_the_middle_of_the_second_drops_what_that_has_begun(world: World) -> None:
    await record(world, 600)
    await project(world, old(world.name), 600)
    await world.tables(new(world.name))
    third = replace(new(world.name), version=3)
    async with running(projection(world, new(world.name))):
        await until(lambda: world.reached(building(new(world.name)), 1))
        await project(world, third, 600)
    assert await world.differences(third) == []
    assert [name for name in await relations(world) if "__" in name] == []


async def test_a_table_can_be_built_anew_while_it_is_kept(world: World) -> None:
    await record(world, 100)
    model = old(world.name)
    async with kept(world, model) as found:
        await until(lambda: world.reached(model, 100))
        await world.reads.execute(f"UPDATE {world.schema}.jars SET drops = drops + 1")
        assert await world.differences(model) != []
        (before,) = (await places(world, model)).values()
        await begin_anew(world.settings.read_dsn, model, world.schema)
        await record(world, 100)
        await until(lambda: another_generation(world, model, before))
        await record(world, 50)
        await until(lambda: world.reached(model, 250))
        await until(lambda: list(found.followers) == ["jars"])
        assert found.followers["jars"].detached == ""
        assert [each.name for each in found.feeds[world.name]._followers] == [
            "jars"
        ]  # Nothing is kept of what is over.
    assert await world.differences(model) == []


async def another_generation(world: World, model: ReadModel, before: Checkpoint) -> bool:
    return {each.generation for each in (await places(world, model)).values()} > set() and all(
        each.generation != before.generation for each in (await places(world, model)).values()
    )


async def test_what_waits_for_a_position_is_told_over_the_swap(world: World) -> None:
    await record(world, 20)
    await project(world, old(world.name), 20)
    told: list[dict[str, Any]] = []

    async def hear(message: Any) -> None:
        told.append(msgspec.json.decode(message.data))

    subscription = await world.nc.subscribe("moved.jars", cb=hear)
    await record(world, 20)
    async with kept(world, new(world.name)):
        await until(lambda: bool(told) and told[-1]["position"] == 40)
    await subscription.unsubscribe()
    (now,) = (await places(world, new(world.name))).values()
    assert told[-1]["generation"] == now.generation


async def test_a_reader_that_takes_long_delays_the_swap_and_holds_no_other_reader_back(world: World) -> None:
    await record(world, 50)
    await project(world, old(world.name), 50)
    model = new(world.name)
    slow: Any = await asyncpg.connect(world.settings.read_dsn)
    question = f"SELECT count(*) FROM {world.schema}.jars"
    async with kept(world, model):
        async with slow.transaction():
            await slow.fetchval(question)
            await until(lambda: world.reached(building(model), 50))
            clock = asyncio.get_running_loop().time
            ends, longest = clock() + 1.5, 0.0
            while clock() < ends:
                began = clock()
                await world.reads.fetchval(question)
                longest = max(longest, clock() - began)
            assert longest < 1.0
            assert not await live_at(world, model, 0)
        await until(lambda: live_at(world, model, 50))
    await slow.close()


async def test_a_reference_table_in_a_contexts_own_schema_is_built_anew_as_well(world: World) -> None:
    dsn, model = world.settings.write_dsn(world.name), new(world.name)
    await record(world, 30)
    make = partial(create_tables, dsn, [model], world.name)
    await create_tables(dsn, [old(world.name)], world.name)
    readers = {world.name: world.reader}
    async with running(Projection(world.nc, world.writer, [old(world.name)], readers, schema=world.name)):
        await until(lambda: world.writer.fetchval(f"SELECT position = 30 FROM {world.name}.checkpoints"))
    await make()
    async with running(Projection(world.nc, world.writer, [model], readers, schema=world.name, make=make)):
        question = f"SELECT version = 2 AND position = 30 FROM {world.name}.checkpoints WHERE model = 'jars'"
        await until(lambda: world.writer.fetchval(question))
    assert await equal_to_fresh_fold(world.writer, model, readers, world.name) == []
