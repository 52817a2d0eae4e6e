"""The course of a year: in which order its commands are sent, and which of them need not be.

The goods and products of a block of baskets are sent evenly among the orders of the block before, so that nothing piles
up; they are stored before the first order of their own block is sent. Nobody waits until they are decided: each site
and each customer is asked in the order of arrival.
"""

import asyncio
import heapq
import time
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Sequence
from itertools import islice
from typing import Any, TypeVar

from common.messages import context_of
from gateway.cli.baskets import Baskets
from gateway.cli.sending import Wish
from gateway.cli.year.system import System
from gateway.cli.year.underway import Underway
from gateway.cli.year.wishes import Basket

AT_ONCE = 250
Source = tuple[int, AsyncIterator[Wish[Any] | None]]
"""How many there are, and they; None stands for one that need not be sent."""
T = TypeVar("T")


class Course:
    """What of a year is to be sent, in turn, at most `rate` orders a second.

    `sent` and `skipped` count orders, `ahead` counts what has to be there before them; `begun` is when the first order
    was sent.
    """

    def __init__(self, year: Baskets, system: System, underway: Underway, rate: float = 0.0) -> None:
        self._year, self._system, self._underway, self._rate = year, system, underway, rate
        self.begun = self._next = 0.0
        self.sent = self.skipped = 0
        self.ahead = sum(len(rows) for block in year.blocks() for rows in year.ahead(block))

    async def parts(self) -> AsyncIterator[AsyncIterator[Wish[Any]]]:
        """One after the other: the whole of a part must be stored before the next one begins."""
        blocks = self._year.blocks()
        yield in_turn(self._ahead(blocks[0]))
        for block, following in zip(blocks, [*blocks[1:], None], strict=True):
            orders = len(range(block.start, min(block.stop, self._year.n)))
            yield in_turn([(orders, self._orders(block)), *(self._ahead(following) if following else [])])

    def _ahead(self, block: range) -> list[Source]:
        return [(len(rows), self._not_answered(rows)) for rows in self._year.ahead(block)]

    def stored(self, wish: Wish[Any]) -> None:
        """Counts what is known to be stored."""
        if isinstance(wish, Basket):
            self._underway.progress.stored += 1
        else:
            self._underway.progress.prepared += 1

    async def _not_answered(self, wishes: Iterable[Wish[Any]]) -> AsyncIterator[Wish[Any] | None]:
        for some in chunks(wishes, AT_ONCE):
            answered = await self._answered(some)
            for wish in some:
                if wish.command_id not in answered:
                    yield wish
                else:
                    self._underway.progress.prepared += 1
                    yield None

    async def _answered(self, wishes: Sequence[Wish[Any]]) -> Collection[str]:
        context = context_of(type(wishes[0].command))
        return await self._system.answered(context, [each.command_id for each in wishes])

    async def _orders(self, block: range) -> AsyncIterator[Wish[Any] | None]:
        for some in chunks(self._year.some(block), AT_ONCE):
            standings = await self._system.views.standings([each.order.order_id for each in some])
            there = {each.order_id for each in standings}
            for basket in some:
                await self._underway.room()
                assert basket.order.at
                self._underway.add(basket.order.order_id, basket.order.at)
                if basket.order.order_id in there:
                    self.skipped += 1
                    self._underway.progress.stored += 1
                    yield None
                else:
                    await self._pace()
                    yield basket

    async def _pace(self) -> None:
        """Waits until it is time for the next one. Time that was lost is not made up for."""
        now = time.monotonic()
        self.begun = self.begun or now
        self.sent += 1
        if self._rate:
            self._next = max(self._next, now) + 1 / self._rate
            await asyncio.sleep(self._next - now)


async def in_turn(sources: Sequence[Source]) -> AsyncIterator[Wish[Any]]:
    """All that the sources give, each source's share evenly spread over the whole."""
    for place in evenly([number for number, _ in sources]):
        if wish := await anext(sources[place][1]):
            yield wish


def evenly(numbers: Sequence[int]) -> Iterator[int]:
    """Each place as often as its number says, evenly spread over the whole."""
    return (place for _, place in heapq.merge(*(share(number, place) for place, number in enumerate(numbers))))


def share(number: int, place: int) -> Iterator[tuple[float, int]]:
    return (((n + 0.5) / number, place) for n in range(number))


def chunks(items: Iterable[T], size: int) -> Iterator[list[T]]:
    """So many at a time; the last ones may be fewer."""
    iterator = iter(items)
    while some := list(islice(iterator, size)):
        yield some
