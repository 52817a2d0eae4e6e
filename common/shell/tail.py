"""The tail of a context's EVENTS stream: its last sequence, and the last event of ours at or before it (protocol P7).

Who has a user in our account can put strays there by a forged reply subject: the server's own acknowledgements. They
lack our headers and are walked over, each once: what is known of a stream is remembered.
"""

import asyncio

from msgspec import Struct
from nats.aio.client import Client

from common.bus.api import ask_jetstream, stored_headers, stored_message
from common.recorded import INCARNATION_HEADER, POSITION_HEADER, VERSION, VERSION_HEADER

LOOKS = 8
"""How often the end is looked for anew while more and more comes."""
FASTER, MOST = 4, 128
"""By how much the steps back grow, and how many messages are asked for at once in the end."""


class Tail(Struct, frozen=True):
    """Where the stream ends: its last sequence, and the event there or, behind strays, before (position 0: none)."""

    sequence: int
    position: int
    incarnation: str


class Known(Struct, frozen=True):
    """A tail, and of which stream: one made anew is another, as is one whose server may have lost its last messages."""

    tail: Tail
    stream: tuple[str, int]


class TailReader:
    """Reads the tail of one stream."""

    def __init__(self, nc: Client, stream: str) -> None:
        self._nc, self._stream = nc, stream
        self._known = Known(Tail(0, 0, ""), ("", 0))

    async def read(self) -> Tail:
        """The tail as it is now; while strays come all the time, as it was a moment ago."""
        for _ in range(LOOKS):
            state, stream = await self._state()
            first, last = max(state["first_seq"], 1), state["last_seq"]  # One that never held anything says 0 to 0.
            if self._known.stream != stream or self._known.tail.sequence > last:
                self._known = Known(Tail(first - 1, 0, ""), stream)
            if self._known.tail.sequence == last:
                break
            self._known = Known(await self._walk_back(first, last, self._known.tail), stream)
        return self._known.tail

    def moved(self, tail: Tail) -> None:
        """We have moved it to there ourselves."""
        self._known = Known(tail, self._known.stream)

    async def _state(self) -> tuple[dict[str, int], tuple[str, int]]:
        info = await ask_jetstream(self._nc, f"STREAM.INFO.{self._stream}", {})
        return info["state"], (info["created"], self._nc.stats["reconnects"])

    async def _walk_back(self, first: int, last: int, known: Tail) -> Tail:
        """The tail at sequence `last`, from there down to what is known."""
        end, step, lowest = last, 1, max(first - 1, known.sequence)
        while end > lowest:
            start = max(end - step, lowest)
            found = await asyncio.gather(*(self._place(sequence) for sequence in range(end, start, -1)))
            for place in found:
                if place:
                    return Tail(last, *place)
            end, step = start, min(FASTER * step, MOST)
        return Tail(last, known.position, known.incarnation)

    async def _place(self, sequence: int) -> tuple[int, str] | None:
        """Position and incarnation of the event at this sequence; None where there is none, or a stray."""
        message = await stored_message(self._nc, self._stream, seq=sequence)
        headers = stored_headers(message or {})
        position, incarnation = headers.get(POSITION_HEADER, ""), headers.get(INCARNATION_HEADER, "")
        if headers.get(VERSION_HEADER) != VERSION or not (position.isdecimal() and incarnation):
            return None
        return int(position), incarnation
