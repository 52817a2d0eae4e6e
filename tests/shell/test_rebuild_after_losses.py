"""Whatever is lost of a read model's table, or of the record, it is built from the record that is there (P12)."""

from functools import partial

import pytest

from common.readmodel import ReadModel, building
from common.shell import context_feed
from common.shell.patience import AWAY
from common.store.fold import equal_to_fresh_fold
from common.store.swap import begin_anew
from tests.servers import until
from tests.shell.rebuilding import fallen, kept, live_at, new, old, places, project, projection, record, relations
from tests.shell.test_projection import drop_connections, owner_of_reads_says, running
from tests.shell.toys import Added, colours, jars
from tests.shell.worlds import World


async def test_a_build_that_has_lost_its_table_begins_anew(world: World) -> None:
    await record(world, 40)
    await project(world, old(world.name), 40)
    model = new(world.name)
    await world.tables(model)
    await owner_of_reads_says(world, "UPDATE {s}.checkpoints SET position = 40; DROP TABLE {s}.jars__2")
    await project(world, model, 40)
    assert await world.differences(model) == []


async def restore(world: World) -> None:
    """As after the record was lost from its 31st event on: the next five are others, and the stream is made anew."""
    await world.owner_says(
        "DELETE FROM {s}.events WHERE position > 30; UPDATE {s}.head SET position = 30, incarnation = 'restored'"
    )
    for jar in ("jar-0", "jar-1", "jar-2", "jar-3", "jar-4"):
        world.versions[jar] = 6
    await world.record(*[("jar-1", Added(1000))] * 5)
    await world.nc.jetstream().delete_stream(world.stream)
    await world.make_stream()


async def test_after_a_restore_projectors_that_run_on_build_from_the_record_that_is_there(world: World) -> None:
    model = old(world.name)
    await record(world, 40)
    async with kept(world, model) as found:
        await until(lambda: world.reached(model, 40))
        await restore(world)
        await until(lambda: "daybook rebuild jars" in found.followers["jars"].detached)
        await begin_anew(world.settings.read_dsn, model, world.schema)
        await until(lambda: [each.state for each in found.followers["jars"].beats()] == ["live"])
        assert found.followers["jars"].at(world.name) == 35
        assert await world.differences(model) == []
        await record(world, 10)
        await until(lambda: found.followers["jars"].at(world.name) == 45)
    assert await world.differences(model) == []


async def test_what_is_built_after_a_restore_is_given_no_event_of_the_record_before(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even of those that are kept for who comes late, as long as another model hangs that is to stop as well."""
    monkeypatch.setattr(context_feed, "LATE_S", 0.1)
    models = model, hanging = old(world.name), colours(world.name)
    await record(world, 40)
    async with kept(world, *models) as found:
        for each in models:
            await until(partial(world.reached, each, 40))
        async with found.followers["colours"]._lock:
            await record(world, 1)
            await until(lambda: found.feeds[world.name]._together == [found.followers["jars"]])
            await restore(world)
            await until(lambda: "daybook rebuild jars" in found.followers["jars"].detached)
            await begin_anew(world.settings.read_dsn, model, world.schema)
            await until(lambda: [each.state for each in found.followers["jars"].beats()] == ["live"])
            assert await world.differences(model) == []
        await until(lambda: "daybook rebuild colours" in found.followers["colours"].detached)
        await begin_anew(world.settings.read_dsn, hanging, world.schema)
        await until(lambda: [each.state for each in found.followers["colours"].beats()] == ["live"])
    assert await world.differences(*models) == []


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
