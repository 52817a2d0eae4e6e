"""A message on its way into a stream, and what becomes of it."""

import asyncio
from collections.abc import Mapping, Sequence

import msgspec
from msgspec import Struct
from nats.aio.msg import Msg
from nats.js.api import Header

MAX_MESSAGE = 80 * 1024
"""Bytes of a message with its headers, at most: a body of 64 KiB and our headers. The command stream refuses more."""
FULL = 10077


class StreamFull(Exception):
    """The stream takes no more; nothing was stored."""


class OutcomeUnknown(Exception):
    """No answer came in time, or the connection was lost: the message may be stored, now or within moments."""


class TooLarge(Exception):
    """The message is larger than `MAX_MESSAGE`; it was not sent."""


class Refused(Exception):
    """The server refused the message for another reason; it was not stored. `code`: the server's; 503: no stream."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code


class Message(Struct, frozen=True, gc=False):
    """What is to be stored, and where."""

    subject: str
    headers: Mapping[str, str]
    body: bytes


class Ack(Struct, frozen=True):
    """Where the message is stored; when `duplicate`, where the first message with its id is."""

    sequence: int
    duplicate: bool = False


class Problem(Struct):
    """An error in a server's answer."""

    err_code: int = 0
    description: str = ""


class PubAck(Struct):
    """A server's answer to one message or to a whole batch, whose last sequence it then gives."""

    seq: int = 0
    duplicate: bool = False
    error: Problem | None = None


class Outgoing(Struct, eq=False):
    """A message on its way and the future its caller waits for.

    One that is `suspect` is kept out of batches; one given `together` with others is not sent without its batch.
    """

    subject: str
    headers: bytes
    body: bytes
    size: int
    suspect: bool
    answer: asyncio.Future[Ack]
    together: bool = False


def header_lines(headers: Mapping[str, str]) -> bytes:
    """Headers as the protocol has them. Raises ValueError for a value that would begin another header."""
    lines = "".join([f"{name}: {value}\r\n" for name, value in headers.items()])
    if lines.count("\n") != len(headers) or lines.count("\r") != len(headers):
        raise ValueError("a header holds a line end")
    return lines.encode()


def outgoing(message: Message, msg_id: str = "") -> Outgoing:
    """A message as it is sent. Raises `TooLarge`, and ValueError for white space or a line end where none may be."""
    subject, body = message.subject, message.body
    if subject.split() != [subject]:
        raise ValueError(f"white space in the subject {subject!r}")
    lines = header_lines({**message.headers, Header.MSG_ID.value: msg_id} if msg_id else message.headers)
    size = len(body) + len(lines) + 14
    if size > MAX_MESSAGE:
        raise TooLarge(f"the message has {size} bytes with its headers; at most {MAX_MESSAGE} are taken")
    return Outgoing(subject, lines, body, size, False, asyncio.get_running_loop().create_future())


def read(reply: Msg) -> PubAck:
    """The server's answer; without a stream on the subject there is a bare status."""
    if reply.headers and "Status" in reply.headers:
        return PubAck(error=Problem(int(reply.headers["Status"]), "no stream takes this subject"))
    return msgspec.json.decode(reply.data, type=PubAck)


def settle(message: Outgoing, ack: PubAck) -> None:
    """Tell the caller, if one still waits."""
    if message.answer.done():
        return
    if ack.error is None:
        message.answer.set_result(Ack(ack.seq, ack.duplicate))
    elif ack.error.err_code == FULL:
        message.answer.set_exception(StreamFull(ack.error.description))
    else:
        message.answer.set_exception(Refused(ack.error.err_code, ack.error.description))


def fail(messages: Sequence[Outgoing], reason: str) -> None:
    """Tell those callers who still wait that the outcome is unknown."""
    for message in messages:
        if not message.answer.done():
            message.answer.set_exception(OutcomeUnknown(reason))
