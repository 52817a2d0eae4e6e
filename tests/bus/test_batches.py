"""Publishing in batches on a real server (protocols P5)."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from time import monotonic
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.bus.batches import FEW, Batches
from common.bus.outgoing import MAX_MESSAGE, Ack, Message, OutcomeUnknown, Refused, StreamFull, TooLarge
from common.bus.recent import Recent
from tests.bus.server import Server, until

HEADERS = {"Daybook-Version": "1"}
ROOM = 64 * 1024


NAMES = (f"T{number}" for number in count(1))


@pytest_asyncio.fixture(loop_scope="session")
async def stream(nc: Client) -> AsyncIterator[str]:
    """A stream of a name never used before: the server removes a deleted one's files in its own time."""
    name = next(NAMES)
    config = {
        "name": name,
        "subjects": ["t.>"],
        "storage": "file",
        "discard": "new",
        "max_bytes": ROOM,
        "allow_atomic": True,
        "duplicate_window": 120_000_000_000,
    }
    await ask_jetstream(nc, f"STREAM.CREATE.{name}", config)
    yield name
    await ask_jetstream(nc, f"STREAM.DELETE.{name}", {})


@pytest.fixture
def batches(nc: Client, stream: str) -> Batches:
    return Batches(nc)


async def state(nc: Client, stream: str) -> dict[str, Any]:
    info = await ask_jetstream(nc, f"STREAM.INFO.{stream}", {})
    found: dict[str, Any] = info["state"]
    return found


async def stored(nc: Client, stream: str, sequence: int) -> bytes:
    message = await nc.jetstream().get_msg(stream, sequence)
    return message.data or b""


async def headers_of(nc: Client, stream: str, sequence: int) -> dict[str, str]:
    message = await nc.jetstream().get_msg(stream, sequence)
    return message.headers or {}


async def raw_batch(nc: Client, identity: str, messages: list[dict[str, str]]) -> dict[str, Any]:
    """An atomic batch by hand: one message for each set of headers. The server's answer to its last."""
    for place, headers in enumerate(messages[:-1], 1):
        batch = {"Nats-Batch-Id": identity, "Nats-Batch-Sequence": str(place)}
        await nc.publish("t.raw", b"", headers={**headers, **batch})
    last = {"Nats-Batch-Id": identity, "Nats-Batch-Sequence": str(len(messages)), "Nats-Batch-Commit": "1"}
    reply = await nc.request("t.raw", b"", headers={**messages[-1], **last})
    answer: dict[str, Any] = msgspec.json.decode(reply.data)
    return answer


async def test_concurrent_messages_are_stored_once_each_at_the_sequence_they_are_told(
    nc: Client, stream: str, batches: Batches
) -> None:
    acks = await asyncio.gather(*(batches.publish("t.x", HEADERS, b"%d" % n) for n in range(100)))
    assert [ack.sequence for ack in acks] == list(range(1, 101))
    assert [await stored(nc, stream, ack.sequence) for ack in acks] == [b"%d" % n for n in range(100)]


async def test_concurrent_messages_share_an_atomic_batch(nc: Client, stream: str, batches: Batches) -> None:
    await asyncio.gather(*(batches.publish("t.x", HEADERS, b"") for _ in range(10)))
    identities = {(await headers_of(nc, stream, n))["Nats-Batch-Id"] for n in range(1, 11)}
    assert len(identities) == 1


async def test_a_lone_message_is_a_plain_publish(nc: Client, stream: str, batches: Batches) -> None:
    ack = await batches.publish("t.x", HEADERS, b"alone")
    assert await headers_of(nc, stream, ack.sequence) == HEADERS


async def test_few_messages_go_one_by_one_in_their_order(nc: Client, stream: str, batches: Batches) -> None:
    acks = await asyncio.gather(*(batches.publish("t.x", HEADERS, b"%d" % n) for n in range(FEW)))
    assert [ack.sequence for ack in acks] == list(range(1, FEW + 1))
    assert [await headers_of(nc, stream, ack.sequence) for ack in acks] == [HEADERS] * FEW
    assert [await stored(nc, stream, ack.sequence) for ack in acks] == [b"%d" % n for n in range(FEW)]


def numbered(count: int, size: int = 1) -> list[Message]:
    return [Message("t.x", HEADERS, b"%0*d" % (size, n)) for n in range(count)]


async def test_messages_given_together_are_stored_in_their_order_as_one_batch(
    nc: Client, stream: str, batches: Batches
) -> None:
    await batches.publish_all(numbered(50))
    assert [await stored(nc, stream, n) for n in range(1, 51)] == [b"%d" % n for n in range(50)]
    assert len({(await headers_of(nc, stream, n))["Nats-Batch-Id"] for n in range(1, 51)}) == 1


async def test_messages_given_together_that_find_no_room_are_stored_not_at_all(
    nc: Client, stream: str, batches: Batches
) -> None:
    with pytest.raises(StreamFull):
        await batches.publish_all(numbered(40, size=ROOM // 30))
    assert (await state(nc, stream))["messages"] == 0
    await batches.publish_all(numbered(10))
    assert (await state(nc, stream))["messages"] == 10


async def test_of_messages_given_together_one_that_cannot_be_sent_keeps_all_back(
    nc: Client, stream: str, batches: Batches
) -> None:
    with pytest.raises(TooLarge):
        await batches.publish_all([*numbered(3), Message("t.x", HEADERS, b"x" * MAX_MESSAGE)])
    with pytest.raises(Refused):
        await batches.publish_all([*numbered(3), Message("nowhere", HEADERS, b"")])
    assert (await state(nc, stream))["messages"] == 3


async def allow_batches(nc: Client, stream: str, allowed: bool) -> None:
    found = (await ask_jetstream(nc, f"STREAM.INFO.{stream}", {}))["config"]
    await ask_jetstream(nc, f"STREAM.UPDATE.{stream}", found | {"allow_atomic": allowed})


async def test_messages_given_together_are_all_kept_back_whatever_their_batch_is_refused_for(
    nc: Client, stream: str, batches: Batches
) -> None:
    await allow_batches(nc, stream, False)
    alone = [asyncio.create_task(batches.publish("t.alone", HEADERS, b"")) for _ in range(3)]
    await asyncio.sleep(0)
    with pytest.raises(Refused):
        await batches.publish_all(numbered(FEW + 1))
    assert [await each for each in alone] == [Ack(1), Ack(2), Ack(3)]
    assert (await state(nc, stream))["messages"] == 3
    await allow_batches(nc, stream, True)
    await batches.publish_all(numbered(FEW + 1))
    assert [await stored(nc, stream, n) for n in range(4, FEW + 5)] == [b"%d" % n for n in range(FEW + 1)]


async def test_who_gives_up_on_messages_given_together_leaves_nothing_behind(
    nc: Client, server: Server, stream: str
) -> None:
    batches = Batches(nc, size=4)
    server.freeze()
    publishing = asyncio.create_task(batches.publish_all(numbered(40)))
    await asyncio.wait({publishing}, timeout=0.2)
    publishing.cancel()
    await asyncio.gather(publishing, return_exceptions=True)
    server.thaw()
    await batches.publish("t.x", HEADERS, b"next")
    assert (await state(nc, stream))["messages"] <= 5


async def test_one_repeated_id_fails_a_whole_atomic_batch_at_the_server(nc: Client, stream: str) -> None:
    assert (await raw_batch(nc, "first", [{"Nats-Msg-Id": "a"}, {}]))["seq"] == 2
    answer = await raw_batch(nc, "second", [{}, {"Nats-Msg-Id": "a"}, {}])
    assert answer["error"]["err_code"] == 10201
    assert (await state(nc, stream))["messages"] == 2


async def test_a_repeated_id_that_the_server_knows_leaves_its_neighbours_stored_exactly_once(
    nc: Client, stream: str, batches: Batches
) -> None:
    first = await Batches(nc).publish("t.x", HEADERS, b"original", "a")
    neighbours = [batches.publish("t.x", HEADERS, b"%d" % n, f"id-{n}") for n in range(20)]
    *acks, repeat = await asyncio.gather(*neighbours, batches.publish("t.x", HEADERS, b"repeat", "a"))
    assert repeat == Ack(first.sequence, duplicate=True)
    assert not any(ack.duplicate for ack in acks)
    assert [await stored(nc, stream, ack.sequence) for ack in acks] == [b"%d" % n for n in range(20)]
    assert (await state(nc, stream))["messages"] == 21


async def test_the_same_id_a_hundred_times_at_once_is_stored_once(nc: Client, stream: str, batches: Batches) -> None:
    acks = await asyncio.gather(*(batches.publish("t.x", HEADERS, b"", "a") for _ in range(100)))
    assert {ack.sequence for ack in acks} == {1}
    assert sum(not ack.duplicate for ack in acks) == 1
    assert (await state(nc, stream))["messages"] == 1


async def test_a_repeat_never_undoes_the_batch_it_came_with(nc: Client, stream: str, batches: Batches) -> None:
    pairs = [batches.publish("t.x", HEADERS, b"", f"id-{n % 50}") for n in range(100)]
    acks = await asyncio.gather(*pairs)
    assert [ack.sequence for ack in acks[50:]] == [ack.sequence for ack in acks[:50]]
    assert all(ack.duplicate for ack in acks[50:])


def test_ids_are_remembered_for_a_while_and_not_for_ever() -> None:
    recent = Recent(2)
    assert [recent.seen(identity) for identity in ("a", "a", "b", "c", "a", "d", "e", "b")] == [
        False,
        True,
        False,
        False,
        True,
        False,
        False,
        False,
    ]


async def test_a_full_stream_says_so_at_once_and_stores_nothing(nc: Client, stream: str, batches: Batches) -> None:
    body = b"x" * 8000
    await asyncio.gather(*(batches.publish("t.x", HEADERS, body) for _ in range(7)))
    before = await state(nc, stream)
    started = monotonic()
    more = [batches.publish("t.x", HEADERS, body) for _ in range(FEW + 1)]
    answers = await asyncio.gather(*more, return_exceptions=True)
    assert [type(answer) for answer in answers] == [StreamFull] * (FEW + 1)
    assert monotonic() - started < 1
    assert (await state(nc, stream))["messages"] == before["messages"]


async def test_a_lone_message_to_a_full_stream_is_told_the_same(nc: Client, stream: str, batches: Batches) -> None:
    with pytest.raises(StreamFull):
        await batches.publish("t.x", HEADERS, b"x" * (ROOM + 1))


async def test_a_message_that_is_too_large_is_not_sent(nc: Client, stream: str, batches: Batches) -> None:
    small = batches.publish("t.x", HEADERS, b"")
    large, ack = await asyncio.gather(
        batches.publish("t.x", HEADERS, b"x" * MAX_MESSAGE), small, return_exceptions=True
    )
    assert isinstance(large, TooLarge)
    assert ack == Ack(1)


async def test_a_subject_without_a_stream_is_refused_and_its_neighbours_are_stored(
    nc: Client, stream: str, batches: Batches
) -> None:
    stray = batches.publish("elsewhere", HEADERS, b"")
    others = [batches.publish("t.x", HEADERS, b"") for _ in range(3)]
    answers = await asyncio.gather(*others, stray, return_exceptions=True)
    assert [ack.sequence for ack in answers[:3] if isinstance(ack, Ack)] == [1, 2, 3]
    assert isinstance(answers[3], Refused)


async def test_a_frozen_server_means_outcome_unknown_within_the_deadline_and_publishing_goes_on_after(
    nc: Client, server: Server, stream: str
) -> None:
    batches = Batches(nc, deadline_s=0.5)
    await batches.publish("t.x", HEADERS, b"before")
    server.freeze()
    started = monotonic()
    answers = await asyncio.gather(*(batches.publish("t.x", HEADERS, b"") for _ in range(10)), return_exceptions=True)
    took = monotonic() - started
    server.thaw()
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 10
    assert 0.4 < took < 1.5
    ack = await batches.publish("t.x", HEADERS, b"after")
    assert await stored(nc, stream, ack.sequence) == b"after"


async def test_messages_that_wait_behind_a_stuck_batch_keep_their_own_deadline(
    nc: Client, server: Server, stream: str
) -> None:
    batches = Batches(nc, size=1, deadline_s=0.5)
    server.freeze()
    started = monotonic()
    answers = await asyncio.gather(*(batches.publish("t.x", HEADERS, b"") for _ in range(5)), return_exceptions=True)
    took = monotonic() - started
    server.thaw()
    assert [type(answer) for answer in answers] == [OutcomeUnknown] * 5
    assert took < 1.5


async def test_a_server_killed_under_load_loses_no_acknowledged_message(
    server: Server, nc: Client, stream: str
) -> None:
    batches = Batches(nc, size=16)
    acked: dict[int, bytes] = {}
    unknown = 0

    async def one(n: int) -> None:
        nonlocal unknown
        try:
            ack = await batches.publish("t.x", HEADERS, b"%d" % n)
            acked[ack.sequence] = b"%d" % n
        except OutcomeUnknown:
            unknown += 1

    async def some(first: int) -> None:
        for n in range(first, first + 10):
            await one(n)

    async def half_done() -> bool:
        return len(acked) > 100

    load = asyncio.gather(*(some(first) for first in range(0, 320, 10)))
    await until(half_done)
    await server.kill()
    await server.start()
    await load
    assert len(acked) + unknown == 320
    assert len(acked) > 150
    assert {sequence: await stored(nc, stream, sequence) for sequence in acked} == acked


async def test_while_the_server_is_away_nothing_is_kept_to_be_sent_behind_its_callers_back(
    server: Server, nc: Client, stream: str
) -> None:
    batches = Batches(nc, deadline_s=0.3)
    await server.kill()

    async def gone() -> bool:
        return not nc.is_connected

    await until(gone)
    with pytest.raises(OutcomeUnknown):
        await batches.publish("t.x", HEADERS, b"nobody waits for it")
    await server.start()
    ack = await Batches(nc).publish("t.x", HEADERS, b"after")
    assert ack == Ack(1)


async def test_a_caller_that_left_before_its_turn_publishes_nothing(nc: Client, stream: str, batches: Batches) -> None:
    left = asyncio.ensure_future(batches.publish("t.x", HEADERS, b"left"))
    stays = asyncio.ensure_future(batches.publish("t.x", HEADERS, b"stays"))
    await asyncio.sleep(0)
    left.cancel()
    assert await stays in (Ack(1), Ack(2))
    assert left.cancelled() or (await asyncio.gather(left, return_exceptions=True))


async def test_on_a_closed_connection_the_outcome_is_unknown_at_once(server: Server, stream: str) -> None:
    client = await server.connect()
    batches = Batches(client)
    await client.close()
    with pytest.raises(OutcomeUnknown):
        await batches.publish("t.x", HEADERS, b"")


@pytest.mark.parametrize(
    ("subject", "headers"),
    [("a b", {}), ("a\r\nPUB x 0", {}), ("", {}), ("a", {"A": "b\r\nC: d"}), ("a", {"A\n": "b"})],
)
async def test_what_would_write_another_protocol_line_is_refused(
    nc: Client, subject: str, headers: dict[str, str]
) -> None:
    with pytest.raises(ValueError, match=r"white space|line end"):
        await Batches(nc).publish(subject, headers, b"")
