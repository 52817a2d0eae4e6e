"""However the bytes of a connection arrive, each message comes once, whole and in order, as do the lines between."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client
from nats.errors import ProtocolError

import common.bus.connect
from common.bus.straight import StraightParser, no_more, straight
from tests.bus.server import until

assert common.bus.connect  # Importing it lets the clients of this process read so.

STRAIGHT, OTHER = 1, 2
Message = tuple[int, bytes, bytes, bytes, bytes]
Heard = tuple[str, int, bytes, bytes, bytes, bytes]


class Listening:
    """What a parser needs of its client; it writes down what it hears."""

    def __init__(self) -> None:
        self.stats, self.heard = {"in_msgs": 0, "in_bytes": 0}, list[Heard | str]()

    async def _process_msg(self, sid: int, subject: bytes, reply: bytes, body: bytes, block: bytes | None) -> None:
        self.heard.append(("queued", sid, subject, reply, block or b"", body))

    async def _process_ping(self) -> None:
        self.heard.append("ping")

    async def _process_err(self, text: str) -> None:
        self.heard.append(text)

    def take(self, subject: bytes, reply: bytes, block: bytes, body: bytes) -> bool:
        if not reply:
            return False
        self.heard.append(("straight", STRAIGHT, subject, reply, block, body))
        return True


def on_the_wire(sid: int, subject: bytes, reply: bytes, block: bytes, body: bytes) -> bytes:
    start = b" ".join([b"HMSG" if block else b"MSG", subject, b"%d" % sid, *([reply] if reply else [])])
    sizes = b"%d %d" % (len(block), len(block) + len(body)) if block else b"%d" % len(body)
    return b"%b %b\r\n%b%b\r\n" % (start, sizes, block, body)


messages = st.tuples(
    st.sampled_from((STRAIGHT, OTHER)),
    st.sampled_from((b"a.b", b"odd.\xff\xfe", b"odd.a\x0cb")),
    st.sampled_from((b"", b"$JS.ACK.S.c.1.77.5.1700000000123456789.3")),
    st.sampled_from((b"", b"NATS/1.0\r\nA: b\r\n\r\n", b"x")),
    st.sampled_from((b"", b"{}", b"\r\nMSG a 1 5\r\n", b"z" * 5000)),
)
lines = st.sampled_from(("ping", "'slow consumer'"))
LINES = {"ping": b"PING\r\n", "'slow consumer'": b"-ERR 'Slow Consumer'\r\n"}


@given(st.lists(messages | lines, max_size=12), st.lists(st.integers(1, 4000), max_size=12))
def test_whatever_arrives_is_heard_once_whole_and_in_order(said: list[Message | str], cuts: list[int]) -> None:
    nc = Listening()
    parser = StraightParser(nc)
    parser.straight[STRAIGHT] = nc.take
    written = b"".join(LINES[each] if isinstance(each, str) else on_the_wire(*each) for each in said)

    async def read(parts: Sequence[bytes]) -> None:
        for part in parts:
            await parser.parse(part)

    asyncio.run(read(pieces(written, cuts)))
    assert nc.heard == [each if isinstance(each, str) else way(each) for each in said]


def way(message: Message) -> Heard:
    sid, _, reply, _, _ = message
    return ("straight" if sid == STRAIGHT and reply else "queued", *message)


def pieces(written: bytes, cuts: Sequence[int]) -> list[bytes]:
    found = []
    for cut in cuts:
        found.append(written[:cut])
        written = written[cut:]
    return [*found, written]


async def test_what_a_lost_connection_left_half_is_forgotten() -> None:
    nc = Listening()
    parser = StraightParser(nc)
    await parser.parse(b"MSG a.b 2 10\r\nhal")
    parser.reset()
    await parser.parse(on_the_wire(OTHER, b"c.d", b"", b"", b"whole"))
    assert nc.heard == [("queued", OTHER, b"c.d", b"", b"", b"whole")]


@pytest.mark.parametrize("odd", [b"NONSENSE\r\n", b"x" * 5000])
async def test_what_is_no_protocol_ends_the_connection(odd: bytes) -> None:
    with pytest.raises(ProtocolError):
        await StraightParser(Listening()).parse(odd)


async def test_what_nobody_takes_straight_goes_to_the_callback(nc: Client) -> None:
    taken, called = list[bytes](), list[bytes]()

    async def call(message) -> None:  # type: ignore[no-untyped-def]
        called.append(message.data)

    def take(subject: bytes, reply: bytes, block: bytes, body: bytes) -> bool:
        taken.append(body)
        return body == b"mine"

    subscription = await nc.subscribe("straight.here", cb=call)
    straight(nc, subscription, take)
    await nc.publish("straight.here", b"mine")
    await nc.publish("straight.here", b"other")
    await nc.flush()
    no_more(nc, subscription)
    await nc.publish("straight.here", b"mine")
    await until(lambda: arrived(called, 2))
    assert (taken, called) == ([b"mine", b"other"], [b"other", b"mine"])
    await subscription.unsubscribe()


async def arrived(called: list[bytes], number: int) -> bool:
    return len(called) == number
