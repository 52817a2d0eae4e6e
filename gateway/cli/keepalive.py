"""A lean HTTP client for many requests to one server: kept connections, one request at a time on each.

httpx spends about as much CPU on a request as the gateway, worker and database together.
"""

import asyncio
from urllib.parse import urlsplit

import httptools
from msgspec import Struct

REQUEST_S = 35.0


class Reply(Struct):
    """A response; header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class Line(asyncio.Protocol):
    """One connection. Raises `ConnectionError` to whoever waits when it is lost."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._answer: asyncio.Future[Reply] | None = None
        self._parser = httptools.HttpResponseParser(self)
        self._headers: dict[str, str] = {}
        self._body: list[bytes] = []
        self.lost = False

    async def ask(self, request: bytes) -> Reply:
        if self._transport is None or self.lost:
            raise ConnectionError("the connection is lost")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]  # uvloop's own kind

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost = True
        if self._answer and not self._answer.done():
            self._answer.set_exception(ConnectionError("the connection is lost"))

    def data_received(self, data: bytes) -> None:
        self._parser.feed_data(data)

    def on_message_begin(self) -> None:
        self._headers, self._body = {}, []

    def on_header(self, name: bytes, value: bytes) -> None:
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_body(self, body: bytes) -> None:
        self._body.append(body)

    def on_message_complete(self) -> None:
        if not self._parser.should_keep_alive():
            self.lost = True
        if self._answer and not self._answer.done():
            self._answer.set_result(Reply(self._parser.get_status_code(), self._headers, b"".join(self._body)))


class KeepAlive:
    """Connections to one server, each made anew when it is lost. For one task per line at a time."""

    def __init__(self, url: str, api_key: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = parts.hostname or "127.0.0.1", parts.port or 80
        self._common = f"Host: {parts.netloc}\r\nAuthorization: Bearer {api_key}\r\n"
        self._free: list[Line] = []

    async def post(self, path: str, body: bytes, headers: str = "") -> Reply:
        """POST JSON; `headers` are whole lines. Raises `OSError` and `TimeoutError`: then the outcome is unknown."""
        head = f"POST {path} HTTP/1.1\r\n{self._common}Content-Type: application/json\r\n{headers}"
        return await self._ask(f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body)

    async def get(self, path: str) -> Reply:
        """GET. Raises `OSError` and `TimeoutError`."""
        return await self._ask(f"GET {path} HTTP/1.1\r\n{self._common}\r\n".encode())

    def close(self) -> None:
        for line in self._free:
            line.close()

    async def _ask(self, request: bytes) -> Reply:
        line = await self._line()
        try:
            async with asyncio.timeout(REQUEST_S):
                reply = await line.ask(request)
        except BaseException:
            line.close()
            raise
        if not line.lost:
            self._free.append(line)
        return reply

    async def _line(self) -> Line:
        while self._free:
            if not (line := self._free.pop()).lost:
                return line
        async with asyncio.timeout(5):
            _, line = await asyncio.get_running_loop().create_connection(Line, self._host, self._port)
        return line
