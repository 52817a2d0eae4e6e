"""A read model's next version (P12): built beside the live table, which serves until it is as far; then swapped."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest
from msgspec import Struct
from msgspec.structs import replace

from common.messages import Event
from common.readmodel import Key, ReadModel, building, sums
from common.shell.patience import AWAY
from common.shell.projection import Projection
from common.store.checkpoints import Checkpoint, read_checkpoints
from common.store.fold import equal_to_fresh_fold
from common.store.read_schema import TableDiffers, create_tables
from common.store.read_tables import Table
from common.store.swap import begin_anew
from tests.servers import until
from tests.shell.test_projection import drop_connections, drops, owner_of_reads_says, running
from tests.shell.toys import NOON, Added, Jar, colours, jars
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


async def test_a_build_that_has_lost_its_table_begins_anew(world: World) -> None:
    await record(world, 40)
    await project(world, old(world.name), 40)
    model = new(world.name)
    await world.tables(model)
    await owner_of_reads_says(world, "UPDATE {s}.checkpoints SET position = 40; DROP TABLE {s}.jars__2")
    await project(world, model, 40)
    assert await world.differences(model) == []


async def test_after_a_restore_projectors_that_run_on_build_from_the_record_that_is_there(world: World) -> None:
    model = old(world.name)
    await record(world, 40)
    async with kept(world, model) as found:
        await until(lambda: world.reached(model, 40))
        await world.owner_says(
            "DELETE FROM {s}.events WHERE position > 30; UPDATE {s}.head SET position = 30, incarnation = 'restored'"
        )
        for jar in ("jar-0", "jar-1", "jar-2", "jar-3", "jar-4"):
            world.versions[jar] = 6
        await world.record(*[("jar-1", Added(1000))] * 5)  # At positions that had other events before.
        await world.nc.jetstream().delete_stream(world.stream)
        await world.make_stream()
        await until(lambda: "daybook rebuild jars" in found.followers["jars"].detached)
        await begin_anew(world.settings.read_dsn, model, world.schema)
        await until(lambda: [each.state for each in found.followers["jars"].beats()] == ["live"])
        assert found.followers["jars"].at(world.name) == 35
        assert await world.differences(model) == []
        await record(world, 10)
        await until(lambda: found.followers["jars"].at(world.name) == 45)
    assert await world.differences(model) == []


class Fallen(Struct, frozen=True):
    """How many drops of a colour ever fell."""

    colour: str
    drops: int = 0


def fallen(*contexts: str) -> ReadModel:
    def adds(stream: str, event: Added) -> dict[Key, tuple[int, ...]]:
        return {(event.colour,): (event.drops,)}

    return sums(name="fallen", row=Fallen, key=("colour",), follows={each: (Added,) for each in contexts}, adds=adds)


async def test_a_table_whose_places_are_lost_takes_nothing_in_until_it_is_made_again_with_them(world: World) -> None:
    model = fallen(world.name)
    await world.tables(model)
    await record(world, 30)
    async with running(world.projection(model)) as found:  # Nobody makes anything there.
        await until(lambda: world.reached(model, 30))
        rows = await world.reads.fetch(f"SELECT * FROM {world.schema}.fallen ORDER BY colour")
        await world.reads.execute(f"DELETE FROM {world.schema}.checkpoints")
        await record(world, 10)
        await until(lambda: "fallen has no checkpoints" in found.followers["fallen"].beats()[0].error)
        assert await world.reads.fetch(f"SELECT * FROM {world.schema}.fallen ORDER BY colour") == rows
        assert found.followers["fallen"].detached == ""
        await world.tables(model)
        await until(lambda: world.reached(model, 40))
    assert await world.differences(model) == []


async def test_an_interrupted_build_goes_on_from_where_it_was(world: World) -> None:
    await record(world, 1500)
    await project(world, old(world.name), 1500)
    model = new(world.name)
    async with kept(world, model):
        await until(lambda: world.reached(building(model), 1))
    (begun,) = (await places(world, building(model))).values() or [None]
    if begun:  # It was not quicker than we.
        await world.tables(model)
        assert (await places(world, building(model)))[world.name].generation == begun.generation
        assert (await places(world, building(model)))[world.name].position >= begun.position > 0
    await project(world, model, 1500)
    assert await world.differences(model) == []


async def test_whatever_becomes_of_its_connections_it_is_built_and_swapped_once(world: World) -> None:
    await record(world, 2000)
    await project(world, old(world.name), 2000)
    model = new(world.name)
    async with kept(world, model, batch=32), running(projection(world, model, batch=24)):
        for _ in range(12):
            await drop_connections(world)
            await record(world, 5)
        await until(lambda: live_at(world, model, 2060))
        assert await world.differences(model) == []
    assert await relations(world) == ["jars", "jars_drops_desc", "jars_pkey", "jars_times"]


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


async def test_a_model_that_followed_another_record_is_built_from_the_one_there_is(world: World) -> None:
    await record(world, 10)
    model = jars(world.name)
    await project(world, model, 10)
    await world.reads.execute(f"UPDATE {world.schema}.checkpoints SET incarnation = 'lost', position = 900")
    async with kept(world, model) as found:
        await until(lambda: "daybook rebuild jars" in found.followers["jars"].detached)
        await begin_anew(world.settings.read_dsn, model, world.schema)
        await until(lambda: [each.state for each in found.followers["jars"].beats()] == ["live"])
        await record(world, 10)
        await until(lambda: found.followers["jars"].at(world.name) == 20)
    assert await world.differences(model) == []


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


@pytest.mark.parametrize(
    "lost",
    [
        "DROP SCHEMA {s} CASCADE",
        "DROP TABLE {s}.jars",
        "DROP TABLE {s}.checkpoints",
        "DELETE FROM {s}.checkpoints",
    ],
)
async def test_what_is_lost_is_made_again_while_running_and_comes_back_equal(world: World, lost: str) -> None:
    models = jars(world.name), colours(world.name), fallen(world.name)
    await record(world, 700)
    async with kept(world, *models):
        for model in models:
            await until(partial(world.reached, model, 700))
        await owner_of_reads_says(world, lost)
        for model in models:
            await until(partial(live_at, world, model, 700))
            await until(partial(equal, world, model))
        await record(world, 10)
        for model in models:
            await until(partial(live_at, world, model, 710))
    assert await world.differences(*models) == []


async def equal(world: World, model: ReadModel) -> bool:
    try:
        return await equal_to_fresh_fold(world.reads, model, {world.name: world.reader}, world.schema) == []
    except AWAY:
        return False


async def test_commits_that_a_crash_has_lost_come_back_although_nothing_happens(world: World) -> None:
    model = jars(world.name)
    await record(world, 60)
    async with kept(world, model):
        await until(lambda: world.reached(model, 60))
        async with world.reads.acquire() as connection, connection.transaction():
            await connection.execute(f"UPDATE {world.schema}.checkpoints SET position = 0")
            await connection.execute(f"DELETE FROM {world.schema}.jars")
        await until(lambda: world.reached(model, 60))
    assert await world.differences(model) == []


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


async def test_rows_that_somebody_removed_stop_the_model_which_names_the_remedy(world: World) -> None:
    model = old(world.name)
    await record(world, 30)
    async with kept(world, model) as found:
        await until(lambda: world.reached(model, 30))
        await world.reads.execute(f"DELETE FROM {world.schema}.jars")
        await record(world, 10)
        await until(lambda: found.followers["jars"].detached.endswith(": daybook rebuild jars"))
        await begin_anew(world.settings.read_dsn, model, world.schema)
        await until(lambda: [each.state for each in found.followers["jars"].beats()] == ["live"])
    assert await world.differences(model) == []
