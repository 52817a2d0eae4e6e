"""Projection (P8): whatever is lost, repeated or out of place on the way, the rows are the fold of the record."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

import asyncpg
import msgspec
import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st
from nats.aio.msg import Msg

from common.bus.api import ask_jetstream
from common.codec import EventCodec
from common.messages import Event
from common.readmodel import Key
from common.shell import context_feed, latest
from common.shell.follower import Follower, ModelBeat
from common.shell.projection import Projection
from common.shell.relay import Relay
from common.store.checkpoints import begin_model
from common.store.fold import Happened, decoded, fold, touched
from common.store.pool import open_pool
from common.store.read_schema import TableDiffers, create_tables
from common.store.read_tables import Kept, Table
from common.store.reader import EventReader
from tests.servers import until
from tests.shell.toys import Added, Emptied, Jar, colours, jars, recorded
from tests.shell.worlds import World


@asynccontextmanager
async def running(projection: Projection) -> AsyncIterator[Projection]:
    task = asyncio.create_task(projection.run())
    try:
        yield projection
    finally:
        task.cancel()
        (end,) = await asyncio.gather(task, return_exceptions=True)
    assert isinstance(end, asyncio.CancelledError), end


def drops(count: int, jars: int = 5) -> list[tuple[str, Event]]:
    return [
        (f"jar-{i % jars}", Emptied() if i % 11 == 10 else Added(i, "red" if i % 2 else "blue")) for i in range(count)
    ]


async def test_events_in_the_stream_become_rows(world: World) -> None:
    models = jars(world.name), colours(world.name)
    await world.tables(*models)
    await world.record(*drops(40))
    await world.publish(*await world.reader.page(0, 100))
    async with running(world.projection(*models)) as projection:
        for model in models:
            await until(partial(world.reached, model, 40))
        assert await world.differences(*models) == []
        assert projection.feeds[world.name].healed == 0


async def test_an_event_delivered_twice_counts_once(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(20))
    events = await world.reader.page(0, 100)
    await world.publish(*events, *events[5:], *events)
    await world.record(("jar-0", Added(1)))
    await world.publish(*await world.reader.page(20, 100))
    async with running(world.projection(model, batch=8)):
        await until(lambda: world.reached(model, 21))
        assert await world.differences(model) == []


async def test_events_missing_in_the_middle_are_read_from_the_store(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(700))
    events = [event for page in (0, 512) for event in await world.reader.page(page, 512)]
    await world.publish(*events[:7], *events[690:])
    async with running(world.projection(model)) as projection:
        await until(lambda: world.reached(model, 700))
        assert await world.differences(model) == []
        assert projection.feeds[world.name].healed == 683


async def test_events_missing_at_the_end_are_found_by_the_head_of_the_store(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(20))
    await world.publish(*await world.reader.page(0, 12))
    async with running(world.projection(model)):
        await until(lambda: world.reached(model, 20), within=5)
        assert await world.differences(model) == []


async def test_what_the_stream_has_let_go_of_is_read_from_the_store(world: World) -> None:
    late, later = jars(world.name), colours(world.name)
    await world.tables(late, later)
    config = (await ask_jetstream(world.nc, f"STREAM.INFO.{world.stream}", {}))["config"]
    await ask_jetstream(world.nc, f"STREAM.UPDATE.{world.stream}", config | {"max_msgs": 5})
    await world.record(*drops(20))
    await world.publish(*await world.reader.page(0, 20))
    async with running(world.projection(late)):
        await until(lambda: world.reached(late, 20))
    await world.record(*drops(20))
    await world.publish(*await world.reader.page(20, 20))
    async with running(world.projection(late, later)):
        for model in (late, later):
            await until(partial(world.reached, model, 40))
        await world.record(*drops(20))
        await world.publish(*await world.reader.page(40, 20))
        for model in (late, later):
            await until(partial(world.reached, model, 60))
        assert await world.differences(late, later) == []


async def test_a_stream_made_anew_is_met_through_the_store(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(30))
    await world.publish(*await world.reader.page(0, 30))
    async with running(world.projection(model)):
        await until(lambda: world.reached(model, 30))
    await world.nc.jetstream().delete_stream(world.stream)
    await world.make_stream()
    await world.record(*drops(30))
    await world.publish(*await world.reader.page(50, 100))
    async with running(world.projection(model)):
        await until(lambda: world.reached(model, 60), within=5)
        assert await world.differences(model) == []


async def test_a_stream_made_anew_while_it_is_read_is_met_through_the_store(world: World) -> None:
    models = jars(world.name), colours(world.name)
    await world.tables(*models)
    await world.record(*drops(30))
    relay = Relay(world.nc, world.reader, world.name)
    async with relaying(relay), running(world.projection(*models)):
        for model in models:
            await until(partial(world.reached, model, 30))
        await world.nc.jetstream().delete_stream(world.stream)
        await world.make_stream()
        for position in (45, 60):
            await world.record(*drops(15))
            for model in models:
                await until(partial(world.reached, model, position), within=15)
        await until(partial(relayed, relay, 60))
        assert await world.differences(*models) == []


async def relayed(relay: Relay, position: int) -> bool:
    return (await relay.read_tail()).position == position


@asynccontextmanager
async def relaying(relay: Relay) -> AsyncIterator[None]:
    task = asyncio.create_task(relay.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_a_forged_reply_put_into_the_stream_is_dropped(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(3))
    events = await world.reader.page(0, 3)
    await world.publish(*events[:2])
    await world.nc.jetstream().publish(f"event.{world.name}.Added.jar-0", b'{"stream":"COMMANDS","seq":7}')
    await world.publish(*events[2:])
    async with running(world.projection(model)) as projection:
        await until(lambda: world.reached(model, 3))
        assert projection.feeds[world.name].strays == 1
        assert await world.differences(model) == []


async def test_two_projectors_of_one_model_do_not_count_anything_twice(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(400))
    async with running(world.projection(model, batch=7)) as one, running(world.projection(model, batch=5)) as two:
        await world.publish(*await world.reader.page(0, 500))
        await until(lambda: world.reached(model, 400))
        assert await world.differences(model) == []
        assert one.followers["jars"].lost + two.followers["jars"].lost > 0


async def test_models_of_several_contexts_lose_no_update_to_a_second_projector(
    world: World, other_world: World
) -> None:
    model = jars(world.name, other_world.name)
    readers = {each.name: each.reader for each in (world, other_world)}
    await world.tables(model)
    made = [Projection(world.nc, world.reads, [model], readers, schema=world.schema, batch=n) for n in (3, 4)]
    for each in (world, other_world):
        await each.record(*(("jar-0", Added(n)) for n in range(1, 120)))
        await each.publish(*await each.reader.page(0, 500))
    async with running(made[0]), running(made[1]):
        for name in readers:
            await until(partial(at_119, world, name))
    kept = Table(model, world.schema).kept(await world.reads.fetchrow(f"SELECT * FROM {world.schema}.jars"))
    assert kept.row.drops == 2 * sum(range(1, 120))
    assert kept.positions == {name: 119 for name in readers}


async def at_119(world: World, context: str) -> bool:
    position = await world.reads.fetchval(
        f"SELECT position FROM {world.schema}.checkpoints WHERE context = $1", context
    )
    return bool(position == 119)


async def test_a_projector_killed_midway_leaves_rows_and_checkpoint_together(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(300))
    await world.publish(*await world.reader.page(0, 300))
    for position in range(20, 300, 40):
        async with running(world.projection(model, batch=9)):
            await until(partial(world.reached, model, position))
    async with running(world.projection(model)):
        await until(lambda: world.reached(model, 300))
    assert await world.differences(model) == []


async def test_a_read_database_that_drops_connections_loses_nothing(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(400))
    async with running(world.projection(model, batch=10)) as projection:
        for start in range(0, 400, 50):
            await world.publish(*await world.reader.page(start, 50))
            await drop_connections(world)
        await until(lambda: world.reached(model, 400))
    assert await world.differences(model) == []
    assert projection.followers["jars"].detached == ""


async def drop_connections(world: World) -> None:
    """Ends all connections of the projectors to the read database, in the midst of what they do."""
    owner: Any = await asyncpg.connect(world.settings.read_dsn)
    await owner.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name LIKE 'daybook%'")
    await owner.close()


async def test_a_model_whose_table_must_not_be_written_stands_alone_and_catches_up_when_it_may(world: World) -> None:
    good, bad = colours(world.name), jars(world.name)
    await world.tables(good, bad)
    await owner_of_reads_says(world, "REVOKE ALL ON {s}.jars FROM daybook_writer")
    await world.record(*drops(600))
    async with running(world.projection(good, bad, batch=50)) as projection:
        for start in range(0, 600, 100):
            await world.publish(*await world.reader.page(start, 100))
            await until(partial(world.reached, good, start + 100), within=5)
        (beat,) = projection.followers["jars"].beats()
        assert (beat.state, beat.position) == ("red", 0)
        assert "permission denied" in beat.error
        await until(lambda: [each.state for each in projection.followers["colours"].beats()] == ["live"])
        await owner_of_reads_says(world, "GRANT SELECT, INSERT, UPDATE, DELETE ON {s}.jars TO daybook_writer")
        await until(partial(world.reached, bad, 600), within=10)
        await until(lambda: [each.state for each in projection.followers["jars"].beats()] == ["live"])
    assert await world.differences(good, bad) == []


async def test_a_model_whose_table_is_locked_holds_nobody_else_back(world: World) -> None:
    good, bad = colours(world.name), jars(world.name)
    await world.tables(good, bad)
    await world.record(*drops(300))
    locking: Any = await asyncpg.connect(world.settings.read_dsn)
    async with running(world.projection(good, bad, batch=50)) as projection:
        async with locking.transaction():
            await locking.execute(f"LOCK TABLE {world.schema}.jars")
            for start in range(0, 300, 100):
                await world.publish(*await world.reader.page(start, 100))
                await until(partial(world.reached, good, start + 100), within=5)
            (beat,) = projection.followers["jars"].beats()
            assert (beat.state, beat.position) == ("catching-up", 0)
        await until(partial(world.reached, bad, 300), within=10)
    await locking.close()
    assert await world.differences(good, bad) == []


async def test_a_read_database_that_was_away_needs_no_write_database_to_go_on(world: World) -> None:
    """What the stream holds is not lost to models that could not take it in for a while."""
    models = colours(world.name), jars(world.name)
    await world.tables(*models)
    await world.record(*drops(300))
    events = await world.reader.page(0, 300)
    closed = await open_pool(world.settings.write_dsn(world.name), "reader")
    await closed.close()
    readers = {world.name: EventReader(closed, world.name)}
    projection = Projection(world.nc, world.reads, models, readers, schema=world.schema, batch=50)
    async with running(projection):
        await world.publish(*events[:100])
        for model in models:
            await until(partial(world.reached, model, 100))
        await owner_of_reads_says(world, "REVOKE ALL ON {s}.jars, {s}.colours FROM daybook_writer")
        await world.publish(*events[100:])
        await until(lambda: all(each.trouble for each in projection.followers.values()))
        await owner_of_reads_says(world, "GRANT ALL ON {s}.jars, {s}.colours TO daybook_writer")
        for model in models:
            await until(partial(world.reached, model, 300), within=10)
    assert await world.differences(*models) == []


async def owner_of_reads_says(world: World, statement: str) -> None:
    connection: Any = await asyncpg.connect(world.settings.read_dsn)
    await connection.execute(statement.format(s=world.schema))
    await connection.close()


async def test_a_model_that_crashes_stops_alone(world: World) -> None:
    def crash(row: Jar | None, stream: str, event: Event) -> Jar | None:
        raise ZeroDivisionError("a fault of the code")

    good, bad = colours(world.name), msgspec.structs.replace(jars(world.name), apply=crash)
    await world.tables(good, bad)
    await world.record(*drops(10))
    await world.publish(*await world.reader.page(0, 10))
    async with running(world.projection(good, bad)) as projection:
        await until(lambda: world.reached(good, 10))
        await until(lambda: "a fault of the code" in projection.followers["jars"].detached)
        assert [beat.state for beat in projection.followers["jars"].beats()] == ["red"]
        assert not await world.reached(bad, 1)
        assert await world.differences(good) == []


async def test_a_number_too_large_for_its_column_stops_the_model_alone(world: World) -> None:
    good, bad = colours(world.name), jars(world.name)
    await world.tables(good, bad)
    await world.record(("a", Added(2**63 - 1)), ("a", Added(1, "red")))
    await world.publish(*await world.reader.page(0, 10))
    async with running(world.projection(good, bad)) as projection:
        await until(lambda: world.reached(good, 2))
        await until(lambda: "DataError" in projection.followers["jars"].detached)


async def test_events_that_cannot_be_decoded_stop_only_those_who_follow_them(world: World) -> None:
    class Emptied(Event):  # The code has another idea of it than the record.
        by: str

    good = colours(world.name)
    bad = msgspec.structs.replace(jars(world.name), follows={world.name: (Added, Emptied)})
    await world.tables(good, bad)
    await world.record(*drops(12))
    await world.publish(*await world.reader.page(0, 20))
    async with running(world.projection(good, bad)) as projection:
        await until(lambda: world.reached(good, 12))
        assert "Emptied" in projection.followers["jars"].detached


async def test_another_incarnation_of_the_store_asks_for_a_rebuild(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(10))
    events = await world.reader.page(0, 10)
    await world.publish(*events[:5])
    async with running(world.projection(model)) as projection:
        await until(lambda: world.reached(model, 5))
        restored = [msgspec.structs.replace(event, incarnation="restored") for event in events[5:]]
        await world.publish(*restored)
        await until(lambda: "rebuild" in projection.followers["jars"].detached)


async def test_a_model_that_is_ahead_of_the_store_asks_for_a_rebuild(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(*drops(3))
    async with running(world.projection(model)):
        await until(lambda: world.reached(model, 3))
    await world.reads.execute(f"UPDATE {world.schema}.checkpoints SET position = 8")
    async with running(world.projection(model)) as projection:
        await until(lambda: "head is 3" in projection.followers["jars"].detached, within=5)


async def test_each_model_beats_with_its_position_and_how_long_events_took(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "common.shell.context_feed.IDLE_S", 30.0
    )  # What is read from the store was relayed nobody knows when.
    model = jars(world.name)
    await world.tables(model)
    heard: list[ModelBeat] = []

    async def hear(message: Msg) -> None:
        heard.append(msgspec.json.decode(message.data, type=ModelBeat))

    beats = await world.nc.subscribe("beat.projector.jars", cb=hear)
    async with running(world.projection(model)):
        await until(lambda: bool(heard) and all(clock.within_ms for clock in heard[-1].clocks), within=5)
        await world.record(*drops(10))
        await world.publish(*await world.reader.page(0, 10))
        await until(lambda: heard[-1].position == 10 and heard[-1].state == "live", within=5)
    await beats.unsubscribe()
    last = heard[-1]
    assert (last.context, last.error, last.pid) == (world.name, "", os.getpid())
    for hop in ("recorded_to_visible", "relayed_to_visible"):
        took = last.hops[hop]
        assert (took.n, took.unknown) == (10, 0)
        assert took.p50_ms is not None and took.p99_ms is not None and 0 < took.p50_ms <= took.p99_ms


async def test_a_model_whose_place_is_not_known_says_so_and_not_0(world: World) -> None:
    model = jars(world.name)
    follower = Follower(world.reads, model, world.schema)
    assert [beat.position for beat in follower.beats()] == [None]
    await world.tables(model)
    await follower.take(world.name, [])
    assert [beat.position for beat in follower.beats()] == [0]


async def test_a_table_of_another_version_is_said_in_one_line(world: World) -> None:
    await world.tables(jars(world.name))
    changed = msgspec.structs.replace(colours(world.name), name="jars")
    with pytest.raises(TableDiffers, match="jars"):
        await create_tables(world.settings.read_dsn, [changed], world.schema)


async def test_a_reference_table_can_live_in_a_contexts_own_schema(world: World) -> None:
    model = jars(world.name)
    await create_tables(world.settings.write_dsn(world.name), [model], world.name)
    await world.record(*drops(10))
    await world.publish(*await world.reader.page(0, 10))
    projection = Projection(world.nc, world.writer, [model], {world.name: world.reader}, schema=world.name)
    async with running(projection):
        await until(lambda: world.writer.fetchval(f"SELECT position = 10 FROM {world.name}.checkpoints"))


ADDED = st.builds(Added, st.integers(0, 9), st.sampled_from(["red", "blue"]))
HISTORY = st.lists(st.tuples(st.sampled_from(["a", "b", "c"]), ADDED | st.builds(Emptied)), min_size=1, max_size=10)
DELIVERIES = st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(1, 5)), max_size=12)


@budget(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(left=HISTORY, right=HISTORY, deliveries=DELIVERIES)
async def test_any_split_repetition_and_interleaving_gives_the_same_rows(
    world: World,
    left: list[tuple[str, Event]],
    right: list[tuple[str, Event]],
    deliveries: list[tuple[bool, int, int]],
) -> None:
    model = colours("left", "right")
    table = Table(model, world.schema)
    await world.tables(model)
    await world.reads.execute(f"DELETE FROM {world.schema}.checkpoints")
    await world.reads.execute(f"DELETE FROM {table.name}")
    await begin_model(world.reads, model, world.schema)
    happened = {"left": as_happened("left", left), "right": as_happened("right", right)}
    expected: dict[Key, Kept | None] = {}
    for context, events in happened.items():
        fold(table, context, touched(model, context, events), expected)
    follower = Follower(world.reads, model, world.schema)
    for first, start, size in deliveries:
        context = "left" if first else "right"
        await follower.take(context, happened[context][start : start + size])
    for context, events in happened.items():
        await follower.take(context, events)
    assert follower.detached == ""
    kept = [table.kept(record) for record in await world.reads.fetch(table.select)]
    assert {table.key(each.row): each.row for each in kept} == {
        key: each and each.row for key, each in expected.items()
    }


def as_happened(context: str, history: list[tuple[str, Event]]) -> list[Happened]:
    codec = EventCodec((Added, Emptied))
    return [
        decoded(codec, recorded(context, position, stream, position, event))
        for position, (stream, event) in enumerate(history, 1)
    ]


async def test_who_comes_late_takes_what_was_kept_and_asks_the_store_for_nothing(world: World) -> None:
    slow, quick = jars(world.name), colours(world.name)
    await world.tables(slow, quick)
    async with running(world.projection(slow, quick, batch=8)) as projection:
        await world.record(*drops(8))
        await world.publish(*await world.reader.page(0, 100))
        for model in (slow, quick):
            await until(partial(world.reached, model, 8))
        async with projection.followers[slow.name]._lock:  # As if its table could not be written for a while.
            await world.record(*drops(200))
            for page in (8, 108):
                await world.publish(*await world.reader.page(page, 100))
            await until(partial(world.reached, quick, 208))
        await until(partial(world.reached, slow, 208))
        assert projection.feeds[world.name].healed == 0
        assert await world.differences(slow, quick) == []


async def test_no_more_is_kept_for_those_who_come_late_than_may_be(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(latest, "MOST", 10)
    model = jars(world.name)
    await world.tables(model)
    async with running(world.projection(model, batch=8)) as projection:
        await world.record(*drops(40))
        await world.publish(*await world.reader.page(0, 100))
        await until(partial(world.reached, model, 40))
        kept = [each.position for each in projection.feeds[world.name]._latest.events]
        assert kept == list(range(31, 41))
        monkeypatch.setattr(latest, "MOST_BYTES", 0)
        await world.record(*drops(1))
        await world.publish(*await world.reader.page(40, 100))
        await until(partial(world.reached, model, 41))
        assert not projection.feeds[world.name]._latest.events


async def test_who_joins_at_the_moment_that_all_others_leave_is_waited_for(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One of the others still hangs when it has detached already, so nobody is together when the new one joins."""
    monkeypatch.setattr(context_feed, "LATE_S", 0.1)
    one, other, late = jars(world.name), colours(world.name), msgspec.structs.replace(jars(world.name), name="late")
    await world.tables(one, other, late)
    projection, joining = world.projection(one, other), Follower(world.reads, late, world.schema)
    feed, (hanging, leaving) = projection.feeds[world.name], projection.followers.values()
    running = asyncio.create_task(projection.run())
    await until(lambda: len(feed._together) == 2)
    for each in (hanging, leaving, joining):
        await each._lock.acquire()
    await world.record(*drops(5))
    await world.publish(*await world.reader.page(0, 5))
    await until(lambda: len(feed._returning) == 2 and not feed._together)
    monkeypatch.setattr(context_feed, "LATE_S", 20.0)
    for each in (hanging, leaving):
        each.detach("cannot go on")
    leaving._lock.release()
    await until(lambda: len(feed._returning) == 1)
    feed.join(joining)
    hanging._lock.release()
    await world.record(*drops(5))
    await world.publish(*await world.reader.page(5, 5))
    await asyncio.wait([running], timeout=1.5)
    assert not running.done()
    joining._lock.release()
    await until(lambda: world.reached(late, 10))
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
