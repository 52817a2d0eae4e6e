"""What a door gets of a request and what it gives back, in plain ASGI."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable
from time import monotonic
from typing import Any, TypeVar

from litestar.types import Receive, Send
from msgspec import Struct

Result = TypeVar("Result")
Header = tuple[bytes, bytes]
JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")
BODY_WITHIN_S = 10.0
HEARD_OUT = 1024 * 1024
OVER = float("inf")


class Answer(Struct, frozen=True):
    """A whole response."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = (JSON,)


class Stream(Struct, frozen=True):
    """A response that goes on, chunk by chunk. The chunks are closed when the caller has hung up."""

    headers: tuple[Header, ...]
    chunks: AsyncGenerator[bytes, None]


class Asked(Struct):
    """A request: path parameters, query string as sent, headers by lower-case name (`headers_of`)."""

    path: dict[str, str]
    query: bytes
    headers: dict[bytes, bytes]
    receive: Any


Door = Callable[[Asked], Awaitable[Answer | Stream]]


def headers_of(pairs: Iterable[Header]) -> dict[bytes, bytes]:
    """Headers by name. One that is repeated is a list, with commas between, as HTTP has it (RFC 9110, 5.3)."""
    pairs = list(pairs)
    headers = dict(pairs)
    if len(headers) == len(pairs):
        return headers
    return {name: b", ".join(value for other, value in pairs if other == name) for name in headers}


async def give(answer: Answer, send: Send) -> None:
    length = [(b"content-length", b"%d" % len(answer.body))] if answer.status != 304 else []
    headers = [*answer.headers, *length]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


async def pour(stream: Stream, receive: Receive, send: Send) -> None:
    """Sends the chunks as fast as the caller takes them, until there are no more or nobody is there."""
    await send({"type": "http.response.start", "status": 200, "headers": list(stream.headers)})
    leaving = asyncio.ensure_future(hung_up(receive))
    try:
        while (chunk := await next_chunk(stream.chunks, leaving)) is not None:
            await send({"type": "http.response.body", "body": chunk, "more_body": True})
        if not leaving.done():
            await send({"type": "http.response.body", "body": b"", "more_body": False})
    finally:
        leaving.cancel()
        await asyncio.gather(leaving, return_exceptions=True)
        await stream.chunks.aclose()


async def next_chunk(chunks: AsyncGenerator[bytes, None], leaving: asyncio.Future[None]) -> bytes | None:
    """None when there are no more, or the caller leaves."""
    coming = asyncio.ensure_future(anext(chunks, None))
    try:
        await asyncio.wait((coming, leaving), return_when=asyncio.FIRST_COMPLETED)
        return coming.result() if coming.done() else None
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


class Gone(Exception):
    """The caller has hung up; nobody is there to answer."""


async def while_there(receive: Receive, work: Coroutine[Any, Any, Result]) -> Result:
    """Does the work for as long as the caller holds the line. Raises `Gone`; the work is cancelled then."""
    working, leaving = asyncio.ensure_future(work), asyncio.ensure_future(hung_up(receive))
    try:
        await asyncio.wait((working, leaving), return_when=asyncio.FIRST_COMPLETED)
        if not working.done():
            raise Gone
        return working.result()
    finally:
        working.cancel()
        leaving.cancel()
        await asyncio.gather(working, leaving, return_exceptions=True)


async def hung_up(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


class TooLong(Exception):
    """The body is longer than it may be."""


class TooSlow(Exception):
    """The body did not arrive in time."""


class Patience:
    """Ends the waiting for bodies that take too long. One clock for all: a timer for each costs 8 % of a POST."""

    def __init__(self) -> None:
        self._since: dict[asyncio.Task[Any], float] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await asyncio.sleep(1.0)
            limit = monotonic() - BODY_WITHIN_S
            for task in [task for task, since in self._since.items() if since < limit]:
                self._since[task] = OVER
                task.cancel()

    async def body(self, receive: Receive, most: int) -> bytes:
        """The body, of at most so many bytes. Raises `TooLong`, `TooSlow` and `Gone`."""
        task = asyncio.current_task()
        assert task is not None
        self._since[task] = monotonic()
        try:
            return await whole_body(receive, most)
        except asyncio.CancelledError:
            if self._since[task] != OVER:
                raise
            task.uncancel()
            raise TooSlow from None
        finally:
            del self._since[task]


async def whole_body(receive: Receive, most: int) -> bytes:
    body, size, more = b"", 0, True
    # A caller who is cut off in the middle of a sentence does not hear why: a little too much is heard out.
    while more and size <= most + HEARD_OUT:
        message: Any = await receive()
        if message["type"] == "http.disconnect":
            raise Gone
        chunk, more = message.get("body", b""), message.get("more_body", False)
        size += len(chunk)
        body = body + chunk if size <= most else b""
    if size > most:
        raise TooLong
    return body
