"""What a door gets of a request and what it gives back, in plain ASGI."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from litestar.types import Receive, Send
from msgspec import Struct

Header = tuple[bytes, bytes]
JSON = (b"content-type", b"application/json")
CLOSE = (b"connection", b"close")
BODY_WITHIN_S = 10.0


class Answer(Struct, frozen=True):
    """A whole response."""

    status: int
    body: bytes
    headers: tuple[Header, ...] = (JSON,)


class Asked(Struct):
    """A request: path parameters, query string as sent, headers by lower-case name (of repeated ones the last)."""

    path: dict[str, str]
    query: bytes
    headers: dict[bytes, bytes]
    receive: Any


Door = Callable[[Asked], Awaitable[Answer]]


async def give(answer: Answer, send: Send) -> None:
    headers = [*answer.headers, (b"content-length", b"%d" % len(answer.body))]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body, "more_body": False})


class Gone(Exception):
    """The caller has hung up; nobody is there to answer."""


class TooSlow(Exception):
    """The body did not arrive in time."""


async def read_body(receive: Receive, most: int) -> bytes:
    """The body, or its first bytes beyond `most`: then the caller must refuse and close. Raises `TooSlow`, `Gone`."""
    try:
        async with asyncio.timeout(BODY_WITHIN_S):
            body, more = b"", True
            while more and len(body) <= most:
                message: Any = await receive()
                if message["type"] == "http.disconnect":
                    raise Gone
                body, more = body + message.get("body", b""), message.get("more_body", False)
            return body
    except TimeoutError:
        raise TooSlow from None
