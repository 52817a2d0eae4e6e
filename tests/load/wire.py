"""One HTTP connection of a load: one request at a time, bytes made beforehand, answers cut no further than needed.

The client shares the machine with what it measures, so it does as little as it can for each request.
"""

import asyncio
import re

from msgspec import Struct

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)


class Reply(Struct, gc=False):
    """An answer: the head is everything before the body, status line included."""

    status: int
    head: bytes
    body: bytes

    def header(self, name: str) -> str:
        """The value of a header, or nothing."""
        found = re.search(rb"\r\n" + name.encode() + rb": *([^\r]*)", self.head, re.IGNORECASE)
        return found[1].decode("latin-1") if found else ""


class Line(asyncio.Protocol):
    """A kept-alive connection. Made by `open_line`."""

    def __init__(self) -> None:
        self._buffer = b""
        self._reply: asyncio.Future[Reply] | None = None
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a TCP connection

    def ask(self, request: bytes) -> asyncio.Future[Reply]:
        """The answer to come; `ConnectionError` when the connection breaks before it is whole."""
        self._reply = reply = self._loop.create_future()
        if self._transport.is_closing():
            reply.set_exception(ConnectionError("the connection is closed"))
        else:
            self._transport.write(request)
        return reply

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        length = LENGTH.search(data, 0, end) if end > 0 else None
        if length is None or len(data) < end + 4 + int(length[1]):
            self._buffer = data
            return
        self._buffer = b""
        if self._reply and not self._reply.done():
            self._reply.set_result(Reply(int(data[9:12]), data[:end], data[end + 4 :]))

    def connection_lost(self, exc: Exception | None) -> None:
        if self._reply and not self._reply.done():
            self._reply.set_exception(exc or ConnectionError("the server has closed the connection"))

    def close(self) -> None:
        self._transport.close()


async def open_line(host: str, port: int) -> Line:
    """Raises `OSError` when nobody listens there."""
    _, line = await asyncio.get_running_loop().create_connection(Line, host, port)
    return line


def get_request(path: str, key: str, headers: str = "") -> bytes:
    """A whole GET; each further header ends its own line."""
    return f"GET {path} HTTP/1.1\r\nHost: daybook\r\nAuthorization: Bearer {key}\r\n{headers}\r\n".encode()
