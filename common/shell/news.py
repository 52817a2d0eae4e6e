"""How far each read model has come, as the projectors tell it; and waiting for a model to get somewhere.

A move is told on `moved.<model>` right after its rows are committed. Such news can be lost, so each beat of the model
repeats its position.
"""

import asyncio
import heapq
from collections import defaultdict
from collections.abc import Collection, Iterable
from itertools import count

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.recorded import VERSION, VERSION_HEADER
from common.shell.wish import After


class Move(Struct, frozen=True):
    """A model shows all events of a context up to this position.

    It only goes on, until its table is made anew (`generation`) or its context's record was restored (`incarnation`).
    """

    model: str
    context: str
    position: int
    incarnation: str
    generation: int


_decoder = msgspec.json.Decoder(Move)
_encoder = msgspec.json.Encoder()

Place = tuple[str, str]
"""A model and a context."""
Waiter = tuple[int, int, "asyncio.Future[None]"]
MANY = 64


class News:
    """What was heard of each model. Waiting costs nothing until the position that is waited for has been reached."""

    def __init__(self) -> None:
        self._heard: dict[Place, Move] = {}
        self._waiting: dict[Place, list[Waiter]] = defaultdict(list)
        self._order = count()
        self._given_up = 0
        self._listening: dict[str, set[asyncio.Future[None]]] = defaultdict(set)

    async def listen(self, nc: Client) -> None:
        """Hears from now on; twice is as once. The connection keeps its subscriptions when it is made anew."""
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
        """Takes in what a model tells. One that has not yet read where it is tells nothing."""
        if not move.incarnation:
            return
        place, before = (move.model, move.context), self._heard.get((move.model, move.context))
        if before and same_table(before, move) and before.position > move.position:
            return
        self._heard[place] = move
        waiting = self._waiting.get(place, [])
        while waiting and waiting[0][0] <= move.position:
            wake(heapq.heappop(waiting)[2])
        for listener in self._listening.pop(move.model, ()):
            wake(listener)

    def says(self, model: str, wanted: Iterable[After]) -> bool | None:
        """Whether the model has reached these positions; None when it was not heard of."""
        heard = [(self._heard.get((model, each.context)), each.position) for each in wanted]
        if any(move is None for move, _ in heard):
            return None
        return all(move.position >= position for move, position in heard if move)

    async def reached(self, model: str, wanted: Iterable[After], within: float) -> bool:
        """Waits until the model has reached these positions, at most so many seconds. Returns whether it has."""
        ways = [self._way((model, each.context), each.position) for each in wanted]
        try:
            async with asyncio.timeout(within):
                for way in ways:
                    await way
        except TimeoutError:
            return False
        finally:
            self._give_up(ways)
        return True

    async def next_word(self, models: Collection[str], within: float) -> None:
        """Waits until one of the models tells anything again, at most so many seconds."""
        listener: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        for model in models:
            self._listening[model].add(listener)
        await asyncio.wait({listener}, timeout=max(within, 0))
        for model in models:
            self._listening[model].discard(listener)

    def at(self, model: str, context: str) -> int | None:
        """The position that a model told last, None when it was never heard."""
        move = self._heard.get((model, context))
        return move.position if move else None

    def _way(self, place: Place, position: int) -> "asyncio.Future[None]":
        arrived: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        heard = self._heard.get(place)
        if heard and heard.position >= position:
            arrived.set_result(None)
        else:
            heapq.heappush(self._waiting[place], (position, next(self._order), arrived))
        return arrived

    def _give_up(self, ways: Iterable["asyncio.Future[None]"]) -> None:
        """Cancels what is still waited for; once these are many, they are swept out."""
        for way in ways:
            way.cancel()
            self._given_up += way.cancelled()
        if self._given_up > MANY and 2 * self._given_up > sum(map(len, self._waiting.values())):
            for place, waiting in self._waiting.items():
                self._waiting[place] = [each for each in waiting if not each[2].done()]
                heapq.heapify(self._waiting[place])
            self._given_up = 0


def same_table(one: Move, other: Move) -> bool:
    return (one.incarnation, one.generation) == (other.incarnation, other.generation)


def wake(waiting: "asyncio.Future[None]") -> None:
    if not waiting.done():
        waiting.set_result(None)


def told(move: Move) -> bytes:
    """A move as it is told."""
    return _encoder.encode(move)
