"""How far each read model has come, as the projectors tell it; and waiting for a model to get somewhere.

A move is told on `moved.<model>` right after its rows are committed. Such news can be lost, so each beat of the model
repeats its position.
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Iterable
from itertools import count

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.recorded import VERSION, VERSION_HEADER
from common.shell.wish import After


class Move(Struct, frozen=True):
    """A model shows all events of a context up to this position."""

    model: str
    context: str
    position: int


_decoder = msgspec.json.Decoder(Move)
_encoder = msgspec.json.Encoder()

Place = tuple[str, str]
"""A model and a context."""
Waiter = tuple[int, int, "asyncio.Future[None]"]


class News:
    """What was heard of each model. Waiting costs nothing until the position that is waited for has been reached."""

    def __init__(self) -> None:
        self._heard: dict[Place, int] = {}
        self._waiting: dict[Place, list[Waiter]] = defaultdict(list)
        self._order = count()

    async def listen(self, nc: Client) -> None:
        """Hears from now on. The connection keeps the subscriptions when it is made anew."""
        for subject in ("moved.*", "beat.projector.*"):
            await nc.subscribe(subject, cb=self._hear)

    async def _hear(self, message: Msg) -> None:
        """What lacks our header was steered here by a forged reply subject; a beat without a place tells nothing."""
        if (message.headers or {}).get(VERSION_HEADER) == VERSION:
            try:
                self.note(_decoder.decode(message.data))
            except msgspec.MsgspecError:
                return

    def note(self, move: Move) -> None:
        """Takes in what a model tells. A position may also go back: its table was made anew."""
        place = (move.model, move.context)
        self._heard[place] = move.position
        waiting = self._waiting.get(place, [])
        while waiting and waiting[0][0] <= move.position:
            arrived = heapq.heappop(waiting)[2]
            if not arrived.done():
                arrived.set_result(None)

    async def reached(self, model: str, wanted: Iterable[After], within: float) -> bool:
        """Waits until the model has reached these positions, at most so many seconds. Returns whether it has.

        Of a model that was never heard of nothing can be told: that is no reason to wait.
        """
        ways = [self._way((model, each.context), each.position) for each in wanted]
        try:
            async with asyncio.timeout(within):
                for way in ways:
                    await way
        except TimeoutError:
            return False
        finally:
            for way in ways:
                way.cancel()
        return True

    def _way(self, place: Place, position: int) -> "asyncio.Future[None]":
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        if self._heard.get(place, position) >= position:
            arrived.set_result(None)
            return arrived
        waiting = self._waiting[place]
        while waiting and waiting[0][2].done():  # Given up. Those deeper in go when their turn comes.
            heapq.heappop(waiting)
        heapq.heappush(waiting, (position, next(self._order), arrived))
        return arrived


def told(move: Move) -> bytes:
    """A move as it is told."""
    return _encoder.encode(move)
