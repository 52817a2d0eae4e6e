"""Faults of nats-py, mended for the whole process: it reads every message, its `flush` means what it says, and a task
that was cancelled while it used the client ends.

Unpatched, one message whose subject is no UTF-8, or holds a form feed, or whose header block is a single byte, ends the
client's read loop. Its stream would deliver it again after each reconnect: whoever may publish one command could stop
every worker that reads it. So what cannot be decoded is replaced, and what is no header is no header.

Unpatched, `flush` writes its PING at once, ahead of what is still to be written: a subscription made before it may
reach the server after its PONG has left.

Unpatched, a cancellation that comes while a publish, a subscription or a request waits for the flusher is dropped, and
so is one that comes together with a request's answer (`asyncio.wait_for` of Python 3.11 then returns the answer): a
loop around the client would go on for ever.
"""

import asyncio
import re
from typing import Any

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.protocol import parser

# The server ends tokens of the protocol at spaces and tabs only; `\s` would also end them at other white space.
MSG = re.compile(rb"\AMSG[ \t]+([^ \t\r\n]+)[ \t]+([0-9]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?([0-9]+)\r\n")
HMSG = re.compile(rb"\AHMSG[ \t]+([^ \t\r\n]+)[ \t]+([0-9]+)[ \t]+(([^ \t\r\n]+)[ \t]+)?([0-9]+)[ \t]+([0-9]+)\r\n")

PLAIN = b"NATS/1.0\r\n"

_strict_headers = Client._process_headers
_flush_pending = Client._flush_pending
_request = Client.request


def tolerant() -> None:
    """Makes all clients of this process tolerant. Again is the same as once."""
    client: Any = Client
    client._build_message = build_message
    client._process_headers = process_headers
    client._send_ping = send_ping
    client._flush_pending = flush_pending
    client.request = request
    parser.MSG_RE, parser.HMSG_RE = MSG, HMSG


def build_message(
    self: Any, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
) -> Msg:
    message: Msg = self.msg_class(
        subject=subject.decode("utf-8", "replace"),
        reply=reply.decode("utf-8", "replace"),
        data=data,
        headers=headers,
        _client=self,
        _sid=sid,
    )
    return message


def plain_headers(block: bytes) -> dict[str, str] | None:
    """The headers in a block of plain lines; None when there are none, or the block is another one."""
    if not block.startswith(PLAIN):
        return None
    lines = block[len(PLAIN) :].decode("utf-8", "replace").split("\r\n")
    pairs = [(name, value.strip()) for name, colon, value in (line.partition(":") for line in lines) if colon]
    found = dict(pairs)
    if len(found) < len(pairs):  # One that is repeated is a list, as in HTTP: who reads one value sees that.
        found = {name: ", ".join(value for other, value in pairs if other == name) for name in found}
    return found or None


async def process_headers(self: Client, headers: bytes) -> dict[str, str] | None:
    """Plain header lines in a fifth of the time that nats-py takes, which reads each message's; the rest its way."""
    if headers and headers.startswith(PLAIN):
        return plain_headers(headers)
    try:
        return await _strict_headers(self, headers)
    except (IndexError, UnicodeDecodeError, ValueError):
        return None


async def send_ping(self: Any, future: "asyncio.Future[bool] | None" = None) -> None:
    self._pongs.append(future or asyncio.get_running_loop().create_future())
    await self._send_command(parser.PING)
    await self._flush_pending()


async def flush_pending(self: Client, force_flush: bool = False) -> Any:
    before = cancellations()
    flushed = await _flush_pending(self, force_flush)
    heed(before)
    return flushed


async def request(self: Client, *question: Any, **options: Any) -> Msg:
    before = cancellations()
    answer = await _request(self, *question, **options)
    heed(before)
    return answer


def cancellations() -> int:
    """How often this task has been cancelled so far: one that cleans up after a cancellation may use the client too."""
    task = asyncio.current_task()
    return task.cancelling() if task else 0


def heed(before: int) -> None:
    """Raises the cancellation that came since and was dropped."""
    if cancellations() > before:
        raise asyncio.CancelledError
