"""Reactions: what an event calls for is asked, whatever is lost, repeated or killed on the way; and under one id."""

import asyncio
import logging
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from common.bus.api import ask_jetstream
from common.bus.batches import FEW, MAX_BATCH_BYTES
from common.bus.outgoing import Message
from common.codec import MAX_BODY
from common.config import Settings
from common.context import followed_by, home_of
from common.messages import Command, Event
from common.recorded import CAUSATION_HEADER, CORRELATION_HEADER, VERSION, VERSION_HEADER, reaction_id
from common.shell.asking import PART, in_turns
from common.shell.lease import LeaseKeeper
from common.shell.leased import under_lease
from common.shell.reactions import Reactions
from common.store.leases import LeaseTable
from common.store.pool import open_pool
from common.store.read_schema import create_tables
from common.store.reader import EventReader
from tests.bus.server import Server
from tests.servers import until
from tests.shell.conftest import Desk, numbers, open_desk
from tests.shell.lending import lending
from tests.shell.ripples import (
    NoteDrops,
    Pond,
    by_key,
    event_of,
    first,
    jars_that_react,
    note,
    of,
    pond,
    wash,
)
from tests.shell.toys import Added, Emptied, jars
from tests.shell.worlds import World, new_world


@asynccontextmanager
async def running(reactions: Reactions) -> AsyncIterator[Reactions]:
    async with doing(reactions.run()):
        yield reactions


@asynccontextmanager
async def doing(work: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    task = asyncio.create_task(work)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def drops(count: int, jars: int = 5, start: int = 0) -> list[tuple[str, Event]]:
    return [(f"jar-{n % jars}", Added(n)) for n in range(start, start + count)]


async def relayed(world: World, *events: tuple[str, Event]) -> None:
    """Records events and puts them into the stream."""
    before = (await world.reader.head()).position
    await world.record(*events)
    await world.publish(*await world.reader.page(before, len(events)))


async def test_each_event_asks_what_it_calls_for_in_the_name_of_the_context(world: World) -> None:
    context = jars_that_react(world.name, {Added: wash})
    async with pond(world) as water, running(water.reactions(context)) as reactions:
        await relayed(world, ("jar-1", Added(3)), ("jar-1", Emptied()), ("jar-2", Added(4)))
        await until(lambda: water.has_asked(4))
        found = await water.asked()
        assert [(each.type, each.key, each.body) for each in found] == [
            ("NoteDrops", "jar-1", {"drops": 3, "note": ""}),
            ("WipeTable", "table", {"jar": "jar-1"}),
            ("NoteDrops", "jar-2", {"drops": 4, "note": ""}),
            ("WipeTable", "table", {"jar": "jar-2"}),
        ]
        cause = (await world.reader.page(0, 1))[0]
        assert found[0].headers[VERSION_HEADER] == VERSION
        assert found[0].headers[CORRELATION_HEADER] == cause.correlation_id
        assert found[0].headers[CAUSATION_HEADER] == cause.id
        assert [each.id for each in found[:2]] == [
            reaction_id(cause.id, "NoteDrops", "jar-1"),
            reaction_id(cause.id, "WipeTable", "table"),
        ]
        await until(lambda: of(reactions).listener.at(world.name) == 3)
        assert await water.place() == 3
        assert of(reactions).asked == 4


async def test_events_of_another_context_call_for_commands_too(world: World, other_world: World) -> None:
    poured: Any = event_of(other_world.name)
    context = jars_that_react(world.name, {Added: note, poured: note})
    assert followed_by(context) == {world.name, other_world.name}
    async with pond(world, other_world) as water, running(water.reactions(context)):
        await relayed(other_world, ("far", poured(7)))
        await relayed(world, ("near", Added(8)))
        await until(lambda: water.has_asked(2))
        assert by_key(await water.asked()) == {
            "far": [{"drops": 7, "note": ""}],
            "near": [{"drops": 8, "note": ""}],
        }
        await until(lambda: at(water.place(other_world.name), 1))


async def at(place: Coroutine[Any, Any, int], position: int) -> bool:
    return await place == position


def test_a_message_belongs_to_the_context_that_declares_it_else_to_the_package_of_its_module() -> None:
    context = jars_that_react("jars", {})
    assert home_of(context, NoteDrops) == home_of(context, Added) == "jars"
    assert home_of(context, event_of("ponds")) == "ponds"


async def test_a_batch_of_events_is_one_batch_of_commands(world: World) -> None:
    await world.record(*drops(PART))
    await world.publish(*await world.reader.page(0, PART))
    context = jars_that_react(world.name, {Added: note})
    async with pond(world) as water, running(water.reactions(context)):
        await until(lambda: at(water.place(), PART))
        found = await water.asked()
        assert max(int(each.headers.get("Nats-Batch-Sequence", 1)) for each in found) > PART // 2
        assert len(found) == PART


async def test_who_was_killed_before_it_noted_its_place_asks_again_under_the_same_ids(world: World) -> None:
    context = jars_that_react(world.name, {Added: wash})
    await relayed(world, *drops(20))
    async with pond(world) as water, holding(world, "reactions") as release:
        async with running(water.reactions(context)):
            await until(lambda: water.has_asked(40))
        await release()
        assert await water.place() == 0
        async with running(water.reactions(context)):
            await until(lambda: at(water.place(), 20))
        found = await water.asked()
    assert set(Counter(each.id for each in found).values()) == {2}
    assert [each.body for each in first(found)] == [each.body for each in found[:40]]


@asynccontextmanager
async def holding(world: World, model: str) -> AsyncIterator[Any]:
    """Holds the rows of a place, so that nobody can move it, until it is released."""
    await world.writer.execute(
        f"INSERT INTO {world.name}.checkpoints (model, context) VALUES ($1, $2)", model, world.name
    )
    owner: Any = await asyncpg.connect(world.settings.write_dsn(world.name))
    await owner.execute(f"BEGIN; SELECT FROM {world.name}.checkpoints FOR UPDATE")
    yield owner.close
    await owner.close()


async def test_commands_of_one_key_are_asked_in_the_order_of_their_events(world: World) -> None:
    context = jars_that_react(world.name, {Added: wash})
    await relayed(world, *drops(700, jars=3))
    async with pond(world) as water, running(water.reactions(context, batch=100)):
        await until(lambda: at(water.place(), 700), within=30)
        found = by_key(await water.asked())
    for n in range(3):
        assert [body["drops"] for body in found[f"jar-{n}"]] == list(range(n, 700, 3))
    assert [body["jar"] for body in found["table"]] == [f"jar-{n % 3}" for n in range(700)]


def sent(*keys: str, size: int = 1) -> list[Message]:
    return [Message(f"command.jars.jars.{key}.NoteDrops", {}, b"x" * size) for key in keys]


@pytest.mark.parametrize(
    ("messages", "parts"),
    [
        (sent(), []),
        (sent("a", "b", "c"), [3]),
        (sent("a", "b", "a"), [1, 1, 1]),
        (sent(*"ab" * FEW), [2 * FEW]),
        (sent(*"ab" * (PART // 2), "a", "a"), [PART, 1, 1]),
        (sent(*"abcdefghij" * 2, size=60_000), [9, 9, 2]),
    ],
)
def test_no_command_is_on_its_way_beside_one_of_its_key_that_might_fail_alone(
    messages: list[Message], parts: list[int]
) -> None:
    found = list(in_turns(messages))
    assert [len(part) for part in found] == parts
    assert [message for part in found for message in part] == messages


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from((1, 40_000, 60_000))), max_size=PART + 20))
def test_parts_are_all_in_their_order_and_few_of_a_part_share_no_key(them: list[tuple[str, int]]) -> None:
    messages = [message for key, size in them for message in sent(key, size=size)]
    parts = list(in_turns(messages))
    assert [message for part in parts for message in part] == messages
    for part in parts:
        assert 0 < len(part) <= PART
        assert sum(len(message.body) for message in part) < MAX_BATCH_BYTES
        assert len(part) > FEW or len({message.subject for message in part}) == len(part)


async def test_who_is_killed_over_and_over_asks_everything_in_order(world: World) -> None:
    context = jars_that_react(world.name, {Added: wash})
    await world.record(*drops(300))
    events = await world.reader.page(0, 300)
    async with pond(world) as water:
        for start in range(0, 300, 30):
            await world.publish(*events[max(start - 3, 0) : start + 20], *events[start + 25 : start + 30])
            async with running(water.reactions(context, batch=9)):
                await until(lambda start=start: past(water, start + 15))  # type: ignore[misc]
        async with running(water.reactions(context)):
            await until(lambda: at(water.place(), 300))
        found = by_key(await water.asked())
    for n in range(5):
        assert [body["drops"] for body in found[f"jar-{n}"]] == list(range(n, 300, 5))
    assert [body["jar"] for body in found["table"]] == [f"jar-{n % 5}" for n in range(300)]


async def past(water: Pond, position: int) -> bool:
    return await water.place() >= position


async def test_events_missing_in_the_stream_are_read_from_the_record(world: World) -> None:
    await world.record(*drops(60))
    events = await world.reader.page(0, 60)
    await world.publish(*events[:5], *events[40:50])
    context = jars_that_react(world.name, {Added: note})
    async with pond(world) as water, running(water.reactions(context)):
        await until(lambda: at(water.place(), 60))
        assert [each.body["drops"] for each in await water.asked()] == list(range(60))


async def test_events_that_come_twice_ask_once(world: World) -> None:
    await world.record(*drops(10))
    events = await world.reader.page(0, 10)
    await world.publish(*events, *events[3:], *events)
    context = jars_that_react(world.name, {Added: note})
    async with pond(world) as water, running(water.reactions(context, batch=4)):
        await until(lambda: at(water.place(), 10))
        await relayed(world, ("last", Added(10)))
        await until(lambda: at(water.place(), 11))
        assert [each.body["drops"] for each in await water.asked()] == list(range(11))


async def test_a_full_stream_loses_nothing_and_is_shown(world: World) -> None:
    context = jars_that_react(world.name, {Added: lambda jar, e: [NoteDrops(jar, e.drops, "x" * 500)]})
    await relayed(world, *drops(100))
    seen: list[Any] = []
    async with pond(world, room=40_000) as water, running(water.reactions(context, batch=20)) as reactions:
        while await water.place() < 100:
            await until(
                lambda: "StreamFull" in of(reactions).listener.trouble or of(reactions).listener.at(world.name) == 100
            )
            if of(reactions).listener.trouble:
                assert of(reactions).beat()["state"] == "red"
                assert "StreamFull" in of(reactions).beat()["error"]
            seen += await water.take()
        await until(lambda: of(reactions).beat()["state"] == "live")
        seen += await water.take()
    assert [each.body["drops"] for each in first(seen)] == list(range(100))


async def test_a_command_that_finds_no_room_is_not_overtaken_by_a_smaller_one_of_its_key(world: World) -> None:
    context = jars_that_react(world.name, {Added: lambda jar, e: [NoteDrops(jar, e.drops, "x" * e.drops)]})
    await relayed(world, ("jar", Added(30_000)), ("jar", Added(1)))
    async with pond(world, room=20_000) as water, running(water.reactions(context)) as reactions:
        await until(lambda: "StreamFull" in of(reactions).listener.trouble)
        assert await water.asked() == []
        await water.change(max_bytes=1_000_000)
        await until(lambda: at(water.place(), 2))
        assert [body["drops"] for body in by_key(await water.asked())["jar"]] == [30_000, 1]


async def test_a_refused_batch_is_not_taken_apart_so_that_none_overtakes_one_of_its_key(world: World) -> None:
    context = jars_that_react(world.name, {Added: lambda jar, e: [NoteDrops(jar, e.drops, "x" * e.drops)]})
    wanted = [30_000, *range(1, FEW + 4)]
    await relayed(world, *(("jar", Added(n)) for n in wanted))
    async with pond(world, room=20_000) as water:
        await water.change(allow_atomic=False)
        async with running(water.reactions(context)) as reactions:
            await until(lambda: "Refused" in of(reactions).listener.trouble)
            assert await water.asked() == []
            await water.change(allow_atomic=True)
            await until(lambda: "StreamFull" in of(reactions).listener.trouble)
            assert await water.asked() == []
            await water.change(max_bytes=1_000_000)
            await until(lambda: at(water.place(), len(wanted)), within=10)
        assert [body["drops"] for body in by_key(await water.asked())["jar"]] == wanted


async def test_a_stream_that_is_not_there_yet_is_waited_for(world: World) -> None:
    context = jars_that_react(world.name, {Added: note})
    await relayed(world, *drops(3))
    async with pond(world) as water:
        await ask_jetstream(world.nc, f"STREAM.DELETE.{water.stream}", {})
        async with running(water.reactions(context)) as reactions:
            await until(lambda: "Refused" in of(reactions).listener.trouble)
            assert await water.place() == 0
            await water.make_stream()
            await until(lambda: at(water.place(), 3), within=10)
            assert of(reactions).listener.error == ""
            assert [each.body["drops"] for each in first(await water.asked())] == [0, 1, 2]


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path)
    await made.start()
    yield made
    await made.kill()


async def test_a_bus_that_is_killed_amid_asking_loses_nothing(world: World, server: Server) -> None:
    nc = await server.connect()
    far = await new_world(world.settings, nc)
    context = jars_that_react(far.name, {Added: wash})
    async with pond(far) as water, running(water.reactions(context, batch=16)) as reactions:
        for start in (0, 150, 300):
            await relayed(far, *drops(150, start=start))
            await until(lambda start=start: at_least(reactions, far, start + 10))  # type: ignore[misc]
            await server.kill()
            await server.start()
        await until(lambda: at(water.place(), 450), within=40)
        found = by_key(await water.asked())
    assert [body["drops"] for body in found["jar-2"]] == list(range(2, 450, 5))
    assert len(found["table"]) == 450
    await far.close()
    await nc.close()


def at_least(reactions: Reactions, world: World, position: int) -> bool:
    return of(reactions).listener.at(world.name) >= position


async def test_a_store_that_drops_connections_loses_nothing(world: World) -> None:
    context = jars_that_react(world.name, {Added: note})
    steady = await open_pool(world.settings.write_dsn(world.name), "owner", 2)
    ours = replace(world, writer=steady, reader=EventReader(steady, world.name))
    async with pond(world) as water, running(water.reactions(context, batch=7)):
        for start in range(0, 200, 50):
            await relayed(ours, *drops(50, start=start))
            owner: Any = await asyncpg.connect(world.settings.write_dsn(world.name))
            await owner.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE application_name = 'daybook writer' AND query LIKE '%' || $1 || '%'",
                world.name,
            )
            await owner.close()
        await until(lambda: at(Pond(ours, world.nc, ()).place(), 200))
        assert [each.body["drops"] for each in first(await water.asked())] == list(range(200))
    await steady.close()


async def test_a_reaction_that_crashes_stops_before_its_event_and_goes_on_there_when_it_is_mended(
    world: World, other_world: World, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(jar: str, event: Any) -> list[Command]:
        if event.drops == 12:
            raise ZeroDivisionError("a fault of the code")
        return [NoteDrops(jar, event.drops)]

    poured: Any = event_of(other_world.name)
    await relayed(world, *drops(20))
    async with pond(world, other_world) as water:
        async with running(water.reactions(jars_that_react(world.name, {Added: crash, poured: note}))) as reactions:
            await until(lambda: "a fault of the code" in of(reactions, world.name).listener.detached)
            beat = of(reactions, world.name).beat()
            assert (beat["state"], beat["position"], await water.place()) == ("red", 12, 12)
            await relayed(other_world, ("far", poured(1)))
            await until(lambda: at(water.place(other_world.name), 1))
            assert of(reactions, other_world.name).beat()["state"] == "live"
            assert [each.body["drops"] for each in await water.asked()] == [*range(12), 1]
        assert "position 13" in caplog.text
        async with running(water.reactions(jars_that_react(world.name, {Added: note, poured: note}))) as reactions:
            await until(lambda: at(water.place(), 20))
            assert [each.body["drops"] for each in await water.asked()] == [*range(12), 1, *range(12, 20)]


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ([NoteDrops("a key", 1)], "key"),
        ([NoteDrops("jar", 1, "x" * MAX_BODY)], "body"),
        ([NoteDrops("jar", 1), NoteDrops("jar", 2)], "one id"),
    ],
)
async def test_what_cannot_be_asked_is_a_fault_of_the_reaction(world: World, asked: list[Command], words: str) -> None:
    context = jars_that_react(world.name, {Added: lambda jar, e: asked})
    await relayed(world, *drops(1))
    async with pond(world) as water, running(water.reactions(context)) as reactions:
        await until(lambda: words in of(reactions).listener.detached)
        assert (await water.place(), await water.asked()) == (0, [])


async def test_an_event_that_the_code_does_not_understand_stops_it(world: World) -> None:
    class Added(Event):  # The code has another idea of it than the record.
        by: str

    context = msgspec.structs.replace(jars_that_react(world.name, {Added: note}), events=(Added, Emptied))
    await relayed(world, *drops(2))
    async with pond(world) as water, running(water.reactions(context)) as reactions:
        await until(lambda: "Added" in of(reactions).listener.detached)
        assert await water.place() == 0


async def test_another_incarnation_of_the_record_stops_it(world: World) -> None:
    context = jars_that_react(world.name, {Added: note})
    await relayed(world, *drops(5))
    async with pond(world) as water:
        async with running(water.reactions(context)):
            await until(lambda: at(water.place(), 5))
        await world.owner_says("UPDATE {s}.head SET incarnation = 'restored'")
        async with running(water.reactions(context)) as reactions:
            await relayed(world, *drops(1))
            await until(lambda: "incarnation" in of(reactions).listener.detached)
            assert len(await water.asked()) == 5


async def test_a_place_ahead_of_the_record_stops_it(world: World) -> None:
    context = jars_that_react(world.name, {Added: note})
    await relayed(world, *drops(3))
    async with pond(world) as water:
        async with running(water.reactions(context)):
            await until(lambda: at(water.place(), 3))
        await world.writer.execute(f"UPDATE {world.name}.checkpoints SET position = 8")
        async with running(water.reactions(context)) as reactions:
            await until(lambda: "head is 3" in of(reactions).listener.detached)


async def test_two_who_react_at_once_ask_the_same_and_keep_the_order_of_a_key(world: World) -> None:
    context = jars_that_react(world.name, {Added: wash})
    await relayed(world, *drops(300))
    async with pond(world) as water:
        async with running(water.reactions(context, batch=7)), running(water.reactions(context, batch=5)):
            await until(lambda: at(water.place(), 300))
        found = by_key(await water.asked())
    for n in range(5):
        assert [body["drops"] for body in found[f"jar-{n}"]] == list(range(n, 300, 5))
    assert [body["jar"] for body in found["table"]] == [f"jar-{n % 5}" for n in range(300)]


async def test_a_second_process_reacts_when_the_first_has_died_with_the_lease(world: World) -> None:
    context = jars_that_react(world.name, {Added: note})
    keepers = [
        LeaseKeeper(LeaseTable(world.writer, world.name), owner, ["reactions"], 0.5) for owner in ("first", "second")
    ]
    async with pond(world) as water:
        one, two = water.reactions(context), water.reactions(context)
        await keepers[0].keep()
        async with doing(under_lease(keepers[1], "reactions", two.run)), doing(keepers[1].run()):
            async with doing(under_lease(keepers[0], "reactions", one.run)):
                await relayed(world, *drops(10))
                await until(lambda: at(water.place(), 10))
            await relayed(world, *drops(10, start=10))
            await until(lambda: at(water.place(), 20))
        assert (of(one).asked, of(two).asked) == (10, 10)
        assert [each.body["drops"] for each in await water.asked()] == list(range(20))


async def test_a_reference_table_of_the_same_context_keeps_its_own_place(world: World) -> None:
    await create_tables(world.settings.write_dsn(world.name), [jars(world.name)], world.name)
    context = jars_that_react(world.name, {Added: note})
    await relayed(world, *drops(2))
    async with pond(world) as water, running(water.reactions(context)):
        await until(lambda: at(water.place(), 2))
    kept = await world.writer.fetch(f"SELECT model, position FROM {world.name}.checkpoints")
    assert {tuple(row) for row in kept} == {("jars", 0), ("reactions", 2)}


async def test_a_reaction_that_is_refused_is_counted_and_logged_once(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.settle(desk.message("b1", "LendBook", "c0", reader="ann"))
    refused = desk.message("b1", "LendBook", "r1", principal=desk.name, reader="ann")
    with caplog.at_level(logging.WARNING):
        answers = await desk.settle(refused, desk.message("b2", "LendBook", "c1", principal="guest", reader="ann"))
        await desk.settle(msgspec.structs.replace(refused, sequence=99))
    assert answers["r1"].code == "not-allowed"
    assert (desk.worker.tally.rejected, desk.worker.tally.refused) == (2, 1)
    told = [each for each in caplog.messages if "is refused" in each]
    assert told == [f"a reaction of {desk.name} is refused: LendBook of b1: not-allowed"]


async def test_a_reaction_that_is_parked_is_counted_and_logged_once_like_a_refused_one(
    desk: Desk, caplog: pytest.LogCaptureFixture
) -> None:
    await desk.settle(desk.message("b1", "LendBook", "c1", reader="crash"))
    behind = desk.message("b1", "RecallBook", "r1", principal=desk.name)
    await desk.settle(behind)
    await desk.settle(msgspec.structs.replace(behind, sequence=99))
    assert (desk.worker.tally.parked, desk.worker.tally.refused) == (2, 1)
    told = [each for each in caplog.messages if "is refused" in each]
    assert told == [f"a reaction of {desk.name} is refused: RecallBook of b1: behind"]


async def test_a_reaction_that_crashes_is_counted_as_refused(settings: Settings) -> None:
    def decide(command: Any, state: Any, known: Any) -> list[Event]:
        raise ZeroDivisionError

    async with open_desk(settings, replace(lending(f"unlent{next(numbers)}"), decide=decide)) as desk:
        answers = await desk.settle(desk.message("b1", "RecallBook", "r1", principal=desk.name))
        assert (answers["r1"].code, desk.worker.tally.refused) == ("crashed", 1)
