"""Pulling in batches on a real server: every way a consumer can fail its reader is forced (protocols P2, P8)."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from itertools import count
from time import monotonic

import nats.errors
import nats.js.errors
import pytest
import pytest_asyncio
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.bus.place import Place, parse_place
from common.bus.pull import Pulled, Puller
from tests.bus.server import Server, until

NAMES = (f"P{number}" for number in count(1))


@pytest_asyncio.fixture(loop_scope="session")
async def stream(nc: Client) -> AsyncIterator[str]:
    """A stream of its own; what is published under its name is stored in it."""
    name = next(NAMES)
    await make(nc, name)
    yield name
    await ask_jetstream(nc, f"STREAM.DELETE.{name}", {})


@pytest_asyncio.fixture(loop_scope="session")
async def puller(nc: Client, stream: str) -> AsyncIterator[Puller]:
    puller = Puller(nc, stream, [f"{stream}.>"], 1, batch=4)
    yield puller
    await puller.close()


async def make(nc: Client, name: str) -> None:
    await ask_jetstream(nc, f"STREAM.CREATE.{name}", {"name": name, "subjects": [f"{name}.>"], "storage": "file"})


async def store(nc: Client, stream: str, *bodies: bytes, subject: str = "x") -> None:
    for body in bodies:
        await nc.jetstream().publish(f"{stream}.{subject}", body)


async def receive(puller: Puller, many: int, limit: int = 100) -> list[Pulled]:
    """The next messages, so many; fails when they do not come within ten seconds."""
    found: list[Pulled] = []
    deadline = monotonic() + 10
    while len(found) < many:
        assert monotonic() < deadline, f"only {len(found)} of {many} came"
        found += await puller.take(limit, 0.2)
    return found


async def bodies(puller: Puller, many: int) -> list[bytes]:
    return [message.data for message in await receive(puller, many)]


async def consumers(nc: Client, stream: str) -> list[str]:
    names: list[str] = (await ask_jetstream(nc, f"CONSUMER.NAMES.{stream}", {}))["consumers"] or []
    return names


async def only_consumer(nc: Client, stream: str) -> str:
    (name,) = await consumers(nc, stream)
    return name


async def steal(nc: Client, stream: str, many: int) -> None:
    """Let the reader's consumer deliver so many messages to somebody else, as a dying connection would have it.

    Only the consumer's first waiting requests are the reader's: they are used up by real messages first.
    """
    name = await only_consumer(nc, stream)
    inbox = nc.new_inbox()
    stolen = await nc.subscribe(inbox)
    await nc.publish(f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}", b'{"batch":%d,"no_wait":true}' % many, reply=inbox)
    for _ in range(many):
        assert (await stolen.next_msg(5)).reply.startswith("$JS.ACK.")
    await stolen.unsubscribe()


def test_a_place_is_read_from_the_subject_of_older_servers() -> None:
    assert parse_place("$JS.ACK.S.c.1.77.5.1700000000123456789.3") == Place("c", 77, 5, 1700000000123456789, 3)


def test_a_place_is_read_from_the_subject_of_newer_servers() -> None:
    place = Place("c", 77, 5, 1700000000123456789, 3)
    assert parse_place("$JS.ACK._.hash.S.c.1.77.5.1700000000123456789.3") == place
    assert parse_place("$JS.ACK._.hash.S.c.1.77.5.1700000000123456789.3.random") == place


async def test_messages_come_in_order_and_as_they_were_stored(nc: Client, stream: str, puller: Puller) -> None:
    headers = {"Daybook-Version": "1"}
    before = datetime.now(UTC)
    for n in range(10):
        await nc.jetstream().publish(f"{stream}.{n}", b"%d" % n, headers=headers)
    found = await receive(puller, 10)
    assert [(m.sequence, m.subject, m.data) for m in found] == [(n + 1, f"{stream}.{n}", b"%d" % n) for n in range(10)]
    assert all(message.headers == headers for message in found)
    assert before - timedelta(milliseconds=1) <= found[0].at <= found[-1].at <= datetime.now(UTC)
    assert found[-1].pending == 0


async def test_take_gives_what_is_there_and_at_most_the_limit(nc: Client, stream: str, puller: Puller) -> None:
    await store(nc, stream, *(b"%d" % n for n in range(6)))
    first = await puller.take(2, 5)
    assert 1 <= len(first) <= 2
    rest = await receive(puller, 6 - len(first), limit=2)
    assert [m.data for m in [*first, *rest]] == [b"%d" % n for n in range(6)]


async def test_an_idle_message_arrives_long_before_the_timeout(nc: Client, stream: str, puller: Puller) -> None:
    await store(nc, stream, b"first")
    await puller.take(10, 5)
    taking = asyncio.ensure_future(puller.take(10, 30))
    started = monotonic()
    await store(nc, stream, b"lone")
    assert [message.data for message in await taking] == [b"lone"]
    assert monotonic() - started < 1


async def test_nothing_comes_when_the_time_is_over(puller: Puller) -> None:
    started = monotonic()
    assert await puller.take(10, 0.1) == []
    assert 0.1 <= monotonic() - started < 1
    assert puller.idle_since <= started


async def test_only_what_the_filters_name_comes(nc: Client, stream: str) -> None:
    puller = Puller(nc, stream, [f"{stream}.a", f"{stream}.b"], 1)
    for subject in ("a", "c", "b"):
        await store(nc, stream, subject.encode(), subject=subject)
    assert await bodies(puller, 2) == [b"a", b"b"]
    assert puller.remade == 0
    await puller.close()


@pytest.mark.parametrize(
    ("start", "first"), [(-3, b"1"), (0, b"1"), (1, b"1"), (3, b"3"), (4, b"later"), (99, b"later")]
)
async def test_reading_starts_at_the_sequence_or_at_the_nearer_end_of_the_stream(
    nc: Client, stream: str, start: int, first: bytes
) -> None:
    await store(nc, stream, b"1", b"2", b"3")
    puller = Puller(nc, stream, [f"{stream}.>"], start)
    if first == b"later":
        assert await puller.take(10, 0.1) == []
        await store(nc, stream, b"later")
    assert (await puller.take(10, 5))[0].data == first
    await puller.close()


async def test_reading_starts_at_what_is_left_of_a_purged_stream(nc: Client, stream: str) -> None:
    await store(nc, stream, b"1", b"2", b"3")
    await ask_jetstream(nc, f"STREAM.PURGE.{stream}", {"seq": 3})
    puller = Puller(nc, stream, [f"{stream}.>"], 1)
    assert await bodies(puller, 1) == [b"3"]
    await puller.close()


async def test_no_more_is_requested_than_twice_the_batch(nc: Client, stream: str, puller: Puller) -> None:
    await store(nc, stream, *(b"%d" % n for n in range(30)))
    assert len(await puller.take(1, 5)) == 1
    name = await only_consumer(nc, stream)

    async def delivered() -> int:
        info = await ask_jetstream(nc, f"CONSUMER.INFO.{stream}.{name}", {})
        sequence: int = info["delivered"]["consumer_seq"]
        return sequence

    async def used_up() -> bool:
        return await delivered() >= 4

    await until(used_up)
    assert await delivered() <= 1 + 2 * 4
    assert len(await bodies(puller, 29)) == 29


async def test_an_expired_request_is_renewed(nc: Client, stream: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.bus.pull.REQUEST_EXPIRES", 200_000_000)
    monkeypatch.setattr("common.bus.pull.HEARTBEAT", 100_000_000)
    puller = Puller(nc, stream, [f"{stream}.>"], 1)
    assert await puller.take(10, 0.7) == []
    await store(nc, stream, b"late")
    assert await bodies(puller, 1) == [b"late"]
    assert puller.remade == 0
    await puller.close()


async def test_a_deleted_consumer_is_made_anew_under_another_name_behind_the_last_message(
    nc: Client, stream: str, puller: Puller
) -> None:
    await store(nc, stream, b"1")
    await puller.take(10, 5)
    old = await only_consumer(nc, stream)
    await ask_jetstream(nc, f"CONSUMER.DELETE.{stream}.{old}", {})
    await store(nc, stream, b"2", b"3")
    assert await bodies(puller, 2) == [b"2", b"3"]
    assert await only_consumer(nc, stream) != old
    assert puller.remade == 1


async def test_a_gap_in_the_consumers_sequence_is_read_again(nc: Client, stream: str) -> None:
    puller = Puller(nc, stream, [f"{stream}.>"], 1, batch=1)
    await store(nc, stream, b"1", b"2", b"3", b"4", b"5", b"6")
    first = await puller.take(1, 5)
    await steal_what_follows(nc, stream)
    assert [first[0].data, *await bodies(puller, 5)] == [b"1", b"2", b"3", b"4", b"5", b"6"]
    assert puller.remade == 1
    await puller.close()


async def steal_what_follows(nc: Client, stream: str) -> None:
    """Two messages wait here and two requests stand; when those are served, the next two are for the thief."""
    name = await only_consumer(nc, stream)

    async def served() -> bool:
        info = await ask_jetstream(nc, f"CONSUMER.INFO.{stream}.{name}", {})
        return not info["num_waiting"]

    await until(served)
    await steal(nc, stream, 1)


async def test_the_lost_tail_is_noticed_within_seconds_though_no_message_follows(nc: Client, stream: str) -> None:
    puller = Puller(nc, stream, [f"{stream}.>"], 1, batch=1)
    await store(nc, stream, b"1", b"2", b"3", b"4")
    first = await puller.take(1, 5)
    await steal_what_follows(nc, stream)
    assert [first[0].data, *await bodies(puller, 3)] == [b"1", b"2", b"3", b"4"]
    assert puller.remade == 1
    await puller.close()


async def test_messages_held_back_on_a_busy_stream_are_waited_for_and_not_taken_for_lost(
    nc: Client, server: Server, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A stream sends nothing while it stores what has piled up, though its consumers count as delivered."""
    monkeypatch.setattr("common.bus.pull.FIRST_LOOK_S", 0.1)
    monkeypatch.setattr("common.bus.pull.HEARTBEAT", 100_000_000)
    publisher = await server.connect()
    for _ in range(60_000):
        await publisher.publish(f"{stream}.x", b"")
    await publisher.flush()
    puller = Puller(nc, stream, [f"{stream}.>"], 1, batch=16)
    assert [message.sequence for message in await receive(puller, 60_000)] == list(range(1, 60_001))
    assert puller.remade <= 1  # A request that is still on its way on a busy machine may cost one.
    await puller.close()
    await publisher.close()


async def test_a_reader_that_the_server_has_forgotten_notices_it(
    nc: Client, stream: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("common.bus.pull.FIRST_LOOK_S", 0.3)
    puller = Puller(nc, stream, [f"{stream}.>"], 1)
    await puller.take(1, 0.05)
    assert puller._subscription
    await puller._subscription.unsubscribe()  # The server drops the requests of an inbox that nobody listens to.
    puller._subscription = None
    await store(nc, stream, b"1")
    assert await bodies(puller, 1) == [b"1"]
    assert puller.remade == 1
    await puller.close()


async def keep_storing(nc: Client, stream: str, many: int) -> None:
    """Store so many messages, whatever happens to the server; some may be stored though they seem to fail."""
    stored = 0
    while stored < many:
        try:
            await nc.jetstream().publish(f"{stream}.x", b"", timeout=1)
            stored += 1
        except (nats.errors.Error, nats.js.errors.Error):
            await until(lambda: connected(nc))


async def read_all(nc: Client, puller: Puller, stream: str, writing: asyncio.Task[None], found: list[int]) -> None:
    """Adds the sequences to `found` until all is read that was written."""
    while not writing.done() or len(found) < await last_sequence(nc, stream):
        found += [message.sequence for message in await puller.take(100, 0.2)]
    writing.result()


async def last_sequence(nc: Client, stream: str) -> int:
    last: int = (await ask_jetstream(nc, f"STREAM.INFO.{stream}", {}))["state"]["last_seq"]
    return last


async def test_a_server_killed_and_started_again_loses_and_repeats_nothing(
    nc: Client, server: Server, stream: str
) -> None:
    writer = await server.connect()
    puller = Puller(nc, stream, [f"{stream}.>"], 1, batch=8)
    writing = asyncio.ensure_future(keep_storing(writer, stream, 600))
    found: list[int] = []
    reading = asyncio.ensure_future(read_all(nc, puller, stream, writing, found))
    for many in (100, 300):

        async def read(many: int = many) -> bool:
            return len(found) >= many

        await until(read)
        await server.kill()
        await server.start()
    await reading
    assert found == list(range(1, len(found) + 1))
    assert len(found) >= 600
    await puller.close()
    await writer.close()


async def test_a_reader_whose_connection_breaks_again_and_again_loses_and_repeats_nothing(
    server: Server, stream: str
) -> None:
    reader, writer = await server.connect(), await server.connect()
    puller = Puller(reader, stream, [f"{stream}.>"], 1, batch=8)
    writing = asyncio.ensure_future(keep_storing(writer, stream, 500))
    found: list[int] = []
    reading = asyncio.ensure_future(read_all(writer, puller, stream, writing, found))
    for breaks in range(1, 6):
        await reader.force_reconnect()

        async def back(breaks: int = breaks) -> bool:
            return reader.stats["reconnects"] >= breaks

        await until(back)
    await reading
    assert found == list(range(1, len(found) + 1))
    await puller.close()
    await reader.close()
    await writer.close()


async def connected(nc: Client) -> bool:
    return nc.is_connected


async def test_take_waits_while_the_connection_is_away(nc: Client, server: Server, stream: str, puller: Puller) -> None:
    await store(nc, stream, b"1")
    await puller.take(10, 5)
    await server.kill()
    started = monotonic()
    assert await puller.take(10, 0.4) == []
    assert 0.4 <= monotonic() - started < 1.5
    await server.start()
    await until(lambda: connected(nc))
    await store(nc, stream, b"2")
    assert await bodies(puller, 1) == [b"2"]


async def test_a_stream_that_is_not_there_yet_is_waited_for(nc: Client) -> None:
    name = next(NAMES)
    puller = Puller(nc, name, [f"{name}.>"], 1)
    assert await puller.take(10, 0.1) == []
    await make(nc, name)
    await store(nc, name, b"1")
    assert await bodies(puller, 1) == [b"1"]
    await puller.close()


async def test_a_stream_made_anew_is_read_from_its_beginning(nc: Client, stream: str, puller: Puller) -> None:
    await store(nc, stream, b"1", b"2", b"3")
    assert len(await bodies(puller, 3)) == 3
    await ask_jetstream(nc, f"STREAM.DELETE.{stream}", {})
    await make(nc, stream)
    assert await puller.take(10, 1) == []
    await store(nc, stream, b"new")
    assert [(m.sequence, m.data) for m in await receive(puller, 1)] == [(1, b"new")]


async def test_a_closed_puller_leaves_no_consumer(nc: Client, stream: str) -> None:
    puller = Puller(nc, stream, [f"{stream}.>"], 1)
    await puller.take(1, 0.05)
    assert len(await consumers(nc, stream)) == 1
    await puller.close()
    assert await consumers(nc, stream) == []


async def test_a_connection_closed_for_good_is_an_error(server: Server, stream: str) -> None:
    client = await server.connect()
    puller = Puller(client, stream, [f"{stream}.>"], 1)
    await puller.take(1, 0.05)
    await client.close()
    with pytest.raises(nats.errors.ConnectionClosedError):
        await puller.take(1, 1)
    await puller.close()
