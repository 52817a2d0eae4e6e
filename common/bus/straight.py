"""Reading a connection without a task, a queue and regular expressions for each message.

nats-py finds every message by two regular expressions, makes a dictionary of its headers and hands it through a queue
to a task of its subscription: 13 us of CPU. Most of what we read are messages of streams, for readers that only put
them aside. To these a message goes straight as it is read, which takes 3 us; all else takes nats-py's way.

It uses what nats-py keeps to itself: `Client._ps`, the parser of a connection, and `Client._process_msg`.
"""

from collections.abc import Callable
from typing import Any

import nats.aio.client
from nats.aio.client import Client
from nats.aio.subscription import Subscription
from nats.errors import ProtocolError
from nats.protocol import parser

Receive = Callable[[bytes, bytes, bytes, bytes], bool]
"""Takes subject, reply, header block and body of a message; whether it has taken it. It must not raise."""

LINE_END, LONGEST_LINE = b"\r\n", parser.MAX_CONTROL_LINE_SIZE


class StraightParser(parser.Parser):
    """nats-py's parser, which is asked for the lines between messages alone."""

    def __init__(self, nc: Any = None) -> None:
        self.straight: dict[int, Receive] = {}
        super().__init__(nc)

    def reset(self) -> None:
        """What was left of a connection that is gone is forgotten; who reads straight goes on by the next one."""
        super().reset()
        self._left, self._resets = b"", getattr(self, "_resets", 0) + 1

    async def parse(self, data: bytes = b"") -> None:
        """Hands on all messages that are there in whole. Raises `ProtocolError`."""
        data, at, resets = self._left + data if self._left else data, 0, self._resets
        while (end := data.find(LINE_END, at)) >= 0:
            line = data[at:end]
            if not line.startswith((b"MSG ", b"HMSG ")):
                at = end + 2
                await super().parse(line + LINE_END)
            elif (behind := await self._message(line, data, end + 2)) > 0:
                at = behind
            else:
                break
        else:
            if len(data) - at > LONGEST_LINE:
                raise ProtocolError("nats: a line does not end")
        if resets == self._resets:
            self._left = data[at:]

    async def _message(self, line: bytes, data: bytes, begin: int) -> int:
        """Hands on the message of a line whose payload begins there; where it ends, or 0 when it is not whole yet."""
        kind, subject, sid, *rest = line.split(b" ")
        headers = int(rest[-2]) if kind == b"HMSG" else 0
        reply = rest[0] if len(rest) > (2 if kind == b"HMSG" else 1) else b""
        if len(data) < (end := begin + int(rest[-1])) + 2:
            return 0
        head, body = data[begin : begin + headers], data[begin + headers : end]
        receive = self.straight.get(number := int(sid))
        if receive and receive(subject, reply, head, body):
            self.nc.stats["in_msgs"] += 1
            self.nc.stats["in_bytes"] += len(body)
        else:
            await self.nc._process_msg(number, subject, reply, body, head or None)
        return end + 2


def reading_straight() -> None:
    """Lets all clients of this process that are made from now on read so."""
    module: Any = nats.aio.client
    module.Parser = StraightParser


def straight(nc: Client, subscription: Subscription, receive: Receive) -> None:
    """Messages of a subscription go to `receive` first; what it does not take goes to the subscription's callback."""
    reader: Any = nc._ps
    reader.straight[subscription._id] = receive


def no_more(nc: Client, subscription: Subscription) -> None:
    """Nothing goes to its receiver any more."""
    reader: Any = nc._ps
    reader.straight.pop(subscription._id, None)
