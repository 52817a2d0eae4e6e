"""The relay (P7): the stream holds the record's events in position order, each once, whatever breaks on the way."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
import pytest_asyncio
from nats.aio.client import Client

from common.recorded import INCARNATION_HEADER, POSITION_HEADER, VERSION, VERSION_HEADER, Recorded, recorded_decoder
from common.shell.refusals import Refused
from common.shell.relay import EXPECTED, Relay
from common.shell.tail import Tail, TailReader
from tests.bus.server import Server
from tests.servers import until
from tests.shell.toys import Added
from tests.shell.worlds import World


@asynccontextmanager
async def running(*relays: Relay) -> AsyncIterator[None]:
    tasks = [asyncio.create_task(relay.run()) for relay in relays]
    try:
        yield
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def relay_of(world: World, nc: Client | None = None) -> Relay:
    return Relay(nc or world.nc, world.reader, world.name)


async def record(world: World, count: int) -> None:
    await world.record(*((f"jar-{i % 7}", Added(i)) for i in range(count)))


async def reached(relay: Relay, position: int) -> bool:
    return relay.position >= position


async def test_the_whole_record_goes_into_an_empty_stream_in_order(world: World) -> None:
    await record(world, 700)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 700))
    assert await world.streamed() == list(range(1, 701))
    assert (relay.published, relay.last_error, relay.stalled) == (700, "", "")
    message = await world.nc.jetstream().get_msg(world.stream, seq=700)
    assert recorded_decoder.decode(message.data or b"") == (await world.reader.page(699, 1))[0]


async def test_a_hint_wakes_it_before_the_slow_poll(world: World) -> None:
    await record(world, 1)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 1))
        loop = asyncio.get_running_loop()
        took = []
        for position in range(2, 7):
            await record(world, 1)
            began = loop.time()
            await world.nc.publish(f"hint.{world.name}")
            await until(partial(reached, relay, position))
            took.append(loop.time() - began)
    assert min(took) < 0.5


async def test_without_a_hint_it_looks_by_itself(world: World) -> None:
    relay = relay_of(world)
    async with running(relay):
        await record(world, 3)
        await until(partial(reached, relay, 3), within=5)


async def test_a_restarted_relay_goes_on_behind_the_streams_last_event(world: World) -> None:
    await record(world, 20)
    first = relay_of(world)
    async with running(first):
        await until(partial(reached, first, 20))
    await record(world, 20)
    second = relay_of(world)
    async with running(second):
        await until(partial(reached, second, 40))
    assert second.published == 20
    assert await world.streamed() == list(range(1, 41))


async def test_a_stale_relay_is_refused_and_nothing_is_published_twice(world: World) -> None:
    await record(world, 10)
    stale = relay_of(world)
    async with running(stale):
        await until(partial(reached, stale, 10))
        old_tail = await stale.read_tail()
        await record(world, 10)
        await until(partial(reached, stale, 20), within=5)
        with pytest.raises(Refused, match="wrong last sequence"):
            await stale._publish(await world.reader.page(10, 10), old_tail)
    assert await world.streamed() == list(range(1, 21))


async def test_two_relays_at_once_publish_each_event_once(world: World) -> None:
    await record(world, 600)
    one, two = relay_of(world), relay_of(world)
    async with running(one, two):
        for each in (one, two):
            await until(partial(reached, each, 600))
        await record(world, 600)
        for each in (one, two):
            await until(partial(reached, each, 1200))
    assert await world.streamed() == list(range(1, 1201))


async def test_strays_amid_a_batch_leave_no_hole_behind_them(world: World) -> None:
    """Three messages too many: the fourth of the batch would fit its expected sequence again."""
    await record(world, 5)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 5))
        for _ in range(3):
            await forge(world)
        await record(world, 5)
        await until(partial(reached, relay, 10))
    assert await world.streamed() == [1, 2, 3, 4, 5, 0, 0, 0, 6, 7, 8, 9, 10]


async def test_strays_at_the_end_of_the_stream_are_walked_over(world: World) -> None:
    await record(world, 5)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 5))
        for _ in range(3):
            await forge(world)
        await record(world, 5)
        await until(partial(reached, relay, 10))
    await forge(world)
    assert await relay.read_tail() == Tail(14, 10, (await world.reader.head()).incarnation)
    await record(world, 1)
    another = relay_of(world)
    async with running(another):
        await until(partial(reached, another, 11))
    assert [position for position in await world.streamed() if position] == list(range(1, 12))


async def forge(world: World) -> None:
    """Somebody publishes with a reply subject that lies in our stream: the server stores its own ack there."""
    await world.nc.jetstream().publish(f"event.{world.name}.Added.jar-0", b'{"stream":"COMMANDS","seq":1}')


async def test_a_stream_with_strays_alone_begins_at_position_1(world: World) -> None:
    await forge(world)
    await record(world, 2)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 2))
    assert await world.streamed() == [0, 1, 2]


async def test_events_get_through_while_strays_arrive_all_the_time(world: World) -> None:
    """Two hundred a second: the tail that was read is stale before a batch is through."""
    for _ in range(4):
        await record(world, 500)
    relay = relay_of(world)
    async with strays(world, 200) as sent:
        await until(lambda: sent[0] > 50)
        async with running(relay):
            await until(partial(reached, relay, 2000), within=10)
            assert (relay.published, relay.stalled) == (2000, "")
    assert relay.overtaken > 0
    assert [position for position in await world.streamed() if position] == list(range(1, 2001))


@asynccontextmanager
async def strays(world: World, rate: int) -> AsyncIterator[list[int]]:
    """Strays in the stream, so many a second; yields how many there were so far."""
    sent = [0]

    async def storm() -> None:
        while True:
            await forge_unheard(world.nc, world)
            sent[0] += 1
            await asyncio.sleep(1 / rate)

    task = asyncio.create_task(storm())
    try:
        yield sent
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def test_what_was_found_to_be_strays_is_not_asked_for_again(world: World) -> None:
    await record(world, 5)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 5))
    for _ in range(300):
        await forge_unheard(world.nc, world)
    await world.nc.flush()
    asked = []
    for _ in range(2):
        await forge(world)
        before = world.nc.stats["out_msgs"]
        assert (await relay.read_tail()).position == 5
        asked.append(world.nc.stats["out_msgs"] - before)
    assert asked[0] > 300
    assert asked[1] <= 3


async def test_a_stream_made_anew_is_filled_from_the_beginning(world: World) -> None:
    await record(world, 5)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 5))
        await world.nc.jetstream().delete_stream(world.stream)
        await world.make_stream()
        for _ in range(7):
            await forge(world)
        await record(world, 1)
        await until(partial(reached, relay, 6))
    assert [position for position in await world.streamed() if position] == list(range(1, 7))


@pytest.mark.parametrize("position", ["", "no number", "-1"])
async def test_a_message_with_our_version_and_no_position_is_a_stray(world: World, position: str) -> None:
    await record(world, 2)
    headers = {VERSION_HEADER: VERSION, INCARNATION_HEADER: "any"} | ({POSITION_HEADER: position} if position else {})
    await world.nc.jetstream().publish(f"event.{world.name}.Added.jar-0", b"{}", headers=headers)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 2))
    assert relay.published == 2


async def test_a_fault_of_the_code_is_shown_and_does_not_end_it(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async def faulty(after: int, limit: int) -> list[Recorded]:
        raise ZeroDivisionError("a fault of the code")

    await record(world, 2)
    relay = relay_of(world)
    with monkeypatch.context() as broken:
        broken.setattr(world.reader, "page", faulty)
        task = asyncio.create_task(relay.run())
        await until(lambda: "a fault of the code" in relay.last_error)
    await until(partial(reached, relay, 2), within=5)
    assert relay.last_error == ""
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_a_relay_that_is_cancelled_while_it_reads_the_tail_ends(world: World) -> None:
    for _ in range(2000):
        await forge_unheard(world.nc, world)
    await world.nc.flush()
    for turns in range(0, 120, 2):
        task = asyncio.create_task(relay_of(world).run())
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        _, pending = await asyncio.wait([task], timeout=5)
        assert not pending, f"it went on, cancelled after {turns} turns of the event loop"


async def test_a_restored_store_stalls_it_and_is_shown(world: World) -> None:
    await record(world, 5)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 5))
        await world.owner_says("UPDATE {s}.head SET incarnation = 'restored'")
        await record(world, 5)
        await until(lambda: relay.stalled == "incarnation", within=5)
    assert await world.streamed() == [1, 2, 3, 4, 5]


async def test_a_stream_that_is_ahead_of_the_store_stalls_it(world: World) -> None:
    await record(world, 5)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 5))
        await world.owner_says("UPDATE {s}.head SET position = 3")
        await until(lambda: relay.stalled == "incarnation" and "only 3" in relay.last_error, within=5)


async def test_a_relay_without_a_stream_says_so_and_goes_on_when_it_is_there(world: World) -> None:
    await record(world, 5)
    await world.nc.jetstream().delete_stream(world.stream)
    relay = relay_of(world)
    async with running(relay):
        await until(lambda: "stream not found" in relay.last_error)
        await world.make_stream()
        await until(partial(reached, relay, 5))
        assert relay.last_error == ""


async def test_an_idle_relay_fills_a_stream_that_lost_its_events(world: World) -> None:
    await record(world, 5)
    relay = relay_of(world)
    async with running(relay):
        await until(partial(reached, relay, 5))
        await world.nc.jetstream().delete_stream(world.stream)
        await world.make_stream()
        await until(partial(streamed_to, TailReader(world.nc, world.stream), 5))
    assert await world.streamed() == [1, 2, 3, 4, 5]


@pytest_asyncio.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    made = Server(tmp_path)
    await made.start()
    yield made
    await made.kill()


async def test_kill_9_of_the_server_amid_publishing_leaves_no_hole_and_no_repeat(world: World, server: Server) -> None:
    """With `persist_mode: async` the server forgets what it had acknowledged; the stream's own tail tells."""
    nc = await server.connect()
    there = World(world.name, world.settings, nc, world.writer, world.reads, world.reader, world.epochs, world.versions)
    await there.make_stream()
    for _ in range(8):
        await record(world, 500)
    relay = relay_of(there)
    async with running(relay):
        for position in (300, 1500, 4000):  # The last one finds the relay idle, with nothing left to publish.
            await until(partial(reached, relay, position), within=20)
            await server.kill()
            await forge_unheard(nc, world)
            await server.start()
        await until(partial(streamed_to, TailReader(nc, world.stream), 4000), within=30)
    assert [position for position in await there.streamed() if position] == list(range(1, 4001))
    await nc.close()


async def streamed_to(tail: TailReader, position: int) -> bool:
    try:
        return (await tail.read()).position == position
    except EXPECTED:
        return False


async def forge_unheard(nc: Client, world: World) -> None:
    """A publish that waits in the client's buffer and is flushed when the connection is back."""
    await nc.publish(f"event.{world.name}.Added.jar-0", b"{}")
