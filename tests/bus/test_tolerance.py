"""No publisher can end a reader's connection by what it writes into a message; who is cancelled ends."""

import asyncio
from collections.abc import AsyncIterator, Coroutine

import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.aio.msg import Msg

import common.bus.connect
from common.bus.tolerance import HMSG, MSG
from tests.bus.server import Server, until

assert common.bus.connect  # Importing it makes the clients of this process tolerant.

HEADER = b"NATS/1.0\r\nA: b\r\n\r\n"


@pytest_asyncio.fixture
async def publisher(server: Server) -> AsyncIterator[asyncio.StreamWriter]:
    """A bare connection, on which anything can be written."""
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    await reader.readline()
    writer.write(b'CONNECT {"verbose":false,"headers":true}\r\n')
    yield writer
    writer.close()
    await writer.wait_closed()


def published(subject: bytes, headers: bytes, body: bytes = b"{}", reply: bytes = b"") -> bytes:
    sizes = b"%d %d" % (len(headers), len(headers) + len(body))
    return b"HPUB %s %s %s\r\n%s%s\r\n" % (subject, reply, sizes, headers, body)


@pytest.mark.parametrize(
    ("subject", "headers"),
    [
        (b"odd.\xff\xfe", HEADER),
        (b"odd.\xc3", HEADER),
        (b"odd.a\x0cb", HEADER),
        (b"odd.a\x0bb", HEADER),
        (b"odd.plain", b"x"),
        (b"odd.plain", b"NATS/1.0\r\n\xff: \xfe\r\n\r\n"),
        (b"odd.plain", b"NATS/1.0\r\nno colon\r\n\r\n"),
        (b"odd.plain", b"NATS/1.0 \xff\xff\xff\r\n\r\n"),
        (b"odd.plain", b"NATS/1.0"),
        (b"odd.plain", b"NATS/1.0\r\nA: \xff\r\n\r\n"),
    ],
)
async def test_an_odd_message_is_read_and_so_is_the_next(
    nc: Client, publisher: asyncio.StreamWriter, subject: bytes, headers: bytes
) -> None:
    heard: list[Msg] = []

    async def hear(message: Msg) -> None:
        heard.append(message)

    subscription = await nc.subscribe("odd.>", cb=hear)
    await nc.flush()
    publisher.write(published(subject, headers) + published(b"odd.next", HEADER, reply=b"odd.\xff"))
    await publisher.drain()

    async def both() -> bool:
        return len(heard) == 2

    await until(both)
    assert (heard[1].subject, heard[1].headers) == ("odd.next", {"A": "b"})
    assert nc.stats["reconnects"] == 0
    await subscription.unsubscribe()


def test_what_the_server_really_sends_is_read_as_before() -> None:
    assert MSG.match(b"MSG a.b 12 5\r\n")
    found = HMSG.match(b"HMSG a.b 12 _INBOX.x 5 7\r\n")
    assert found
    assert found.groups() == (b"a.b", b"12", b"_INBOX.x ", b"_INBOX.x", b"5", b"7")


async def test_what_was_subscribed_before_a_flush_hears_what_others_say_after_it(server: Server) -> None:
    hearer, sayer = await server.connect(), await server.connect()
    for number in range(200):
        subscription = await hearer.subscribe(f"said.{number}")
        await hearer.flush()
        await sayer.publish(f"said.{number}", b"")
        assert await subscription.next_msg(2)
        await subscription.unsubscribe()
    await hearer.close()
    await sayer.close()


async def test_a_task_that_is_cancelled_while_it_uses_the_client_ends(server: Server) -> None:
    nc = await server.connect()
    answering = await nc.subscribe("question", cb=answer)

    async def publish() -> None:  # It waits only when 2 MB are to be written.
        for _ in range(2000):
            await nc.publish("nobody", bytes(60_000))

    async def ask() -> None:
        for _ in range(100):
            await nc.request("question", b"", timeout=5)

    for use, most in ((publish, 4), (ask, 40)):
        went_on = [turns for turns in range(most) if not await ended(use(), turns)]
        assert went_on == [], f"{use.__name__} went on, cancelled after so many turns of the loop"
    await answering.unsubscribe()
    await nc.close()


async def ended(work: Coroutine[None, None, None], turns: int) -> bool:
    """Whether the work ends when it is cancelled, after so many turns of the event loop."""
    task = asyncio.create_task(work)
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    await asyncio.wait([task])
    return task.cancelled()


async def test_who_was_cancelled_can_use_the_client_to_clean_up(server: Server) -> None:
    nc = await server.connect()
    answering = await nc.subscribe("question", cb=answer)
    cleaned: list[bytes] = []

    async def work() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await nc.publish("nobody", b"")
            cleaned.append((await nc.request("question", b"", timeout=5)).data)

    task = asyncio.create_task(work())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert cleaned == [b"answer"]
    await answering.unsubscribe()
    await nc.close()


async def answer(message: Msg) -> None:
    await message.respond(b"answer")
