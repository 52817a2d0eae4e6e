"""Watching by HTTP: an answer that goes on, as server-sent events, for as long as somebody holds the line."""

import asyncio
from collections.abc import AsyncGenerator

import msgspec

from common.messages import Query
from common.principals import WATCH, Principal
from common.shell.reading import Found, Reading
from common.shell.room import Full, Room
from common.shell.unanswered import too_many
from common.shell.until import awaited_value, known_values
from gateway.http import Header, Stream
from gateway.identity import permit

EVENT_STREAM = b"text/event-stream"
HEADERS: tuple[Header, ...] = ((b"content-type", EVENT_STREAM), (b"cache-control", b"no-store"))
STILL_S = 10.0
"""After so long without a change a comment says that the line holds."""
MOST_WATCHING = 1024


class Watching:
    """Tells those who watch, to so many at once at most, until it is `over`."""

    def __init__(self) -> None:
        self.room, self.over = Room(MOST_WATCHING), asyncio.Event()

    async def stream(self, reading: Reading, query: Query, principal: Principal, until: frozenset[str]) -> Stream:
        """What there is now, and each change, until one of these states; as soon as nothing can be missed any more.

        Raises `Rejected` for states that there are not, `Unanswered`, and a 403 problem for who may not watch.
        """
        permit(principal, frozenset({WATCH}), "watching")
        known_values(type(query), until)
        chunks = self._told(reading.changes(query), query, principal.name, until)
        try:
            await anext(chunks)
        except Full as full:
            raise too_many(full) from None
        return Stream(HEADERS, chunks)

    async def _told(
        self, changes: AsyncGenerator[Found | None, None], query: Query, principal: str, until: frozenset[str]
    ) -> AsyncGenerator[bytes, None]:
        """Nothing at first, once changes are listened for."""
        over = asyncio.ensure_future(self.over.wait())
        coming: asyncio.Future[Found | None] = asyncio.ensure_future(anext(changes))
        try:
            with self.room.place(principal):
                await coming
                yield b""
                coming = asyncio.ensure_future(anext(changes))
                while not over.done():
                    await asyncio.wait((coming, over), timeout=STILL_S, return_when=asyncio.FIRST_COMPLETED)
                    if not coming.done():
                        yield b": still here\n\n"
                    elif found := coming.result():
                        yield event(found)
                        if awaited_value(query, found.value) in until:
                            return
                        coming = asyncio.ensure_future(anext(changes))
        finally:
            over.cancel()
            coming.cancel()
            await asyncio.gather(over, coming, return_exceptions=True)
            await changes.aclose()


def event(found: Found) -> bytes:
    """What was found, as a server-sent event; its id is the version, where there is one."""
    version = getattr(found.value, "version", 0)
    lines = [b"id: %d" % version] if version else []
    return b"\n".join([*lines, b"data: " + msgspec.json.encode(found.value), b"", b""])
