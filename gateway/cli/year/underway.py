"""The orders that are on their way: never more than a window of them, each followed until it has come to its end.

A window is what keeps a year from piling up: an order that is not paid within its time is cancelled, and a command that
waits for long is refused. As the views show one order's end, the next one sets out.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime

import click
from msgspec import Struct

from gateway.cli.sending import PATIENCE_S
from gateway.cli.year.views import Standing, Views

WINDOW = 1_000
POLL_S, EVERYTHING = 0.2, 10
"""How often we look; at every so manieth time at all orders."""
FEW, MANY_MOVED = 64, 4
SETTLE_S = 15.0
"""How long no order may move before we say how they stand. Without reactions none of them ever does."""
MOVING = ("placed", "admitted", "reserved", "cancelling")
IN_VAIN = ("cancelled", "returned")
TO_BE_SENT = ("scheduled", "dispatched")

HandOver = Callable[[Sequence[tuple[str, datetime]]], Awaitable[None]]
"""Dispatches and delivers these orders, each at its time."""


class Order(Struct):
    """One that is on its way, and what of that could be seen."""

    at: datetime
    is_visible: bool = False
    is_settled: bool = False


class Progress(Struct):
    """How many orders have come how far."""

    prepared: int = 0
    stored: int = 0
    visible: int = 0
    settled: int = 0
    delivered: int = 0


class Underway:
    """Follows orders until they are confirmed; with a `hand_over`, until they are delivered and paid.

    `catches_up` tells whether the views have come nearer to the record since it was asked last.
    """

    def __init__(
        self,
        views: Views,
        catches_up: Callable[[], Awaitable[bool]],
        hand_over: HandOver | None = None,
        window: int = WINDOW,
    ) -> None:
        self._views, self._catches_up, self._hand_over, self._window = views, catches_up, hand_over, window
        self._waiting: dict[str, Order] = {}
        self._leaving: dict[str, Order] = {}
        self._room, self._moved, self._is_last = asyncio.Event(), time.monotonic(), False
        self.progress = Progress()

    def __len__(self) -> int:
        return len(self._waiting) + len(self._leaving)

    async def room(self) -> None:
        """Until one more may set out."""
        while len(self) >= self._window:
            self._room.clear()
            await self._room.wait()

    def add(self, order_id: str, at: datetime) -> None:
        """It sets out, or is on its way already."""
        self._waiting[order_id] = Order(at)

    def was_the_last(self) -> None:
        """No more come: `run` ends with the last of them."""
        self._is_last = True

    async def run(self, show: Callable[[], None]) -> None:
        """Until all have come to their end, or nothing moves any more.

        Raises `click.ClickException` when others wait for room and nothing moves for long.
        """
        looks = 0
        while self or not self._is_last:
            looks += 1
            await self._look(looks % EVERYTHING == 0)
            show()
            if await self._stands_still():
                return
            await asyncio.sleep(POLL_S)

    async def _look(self, everything: bool) -> None:
        """Asks for the oldest, and for more as long as many of those have moved on; or for everything."""
        for group in (self._waiting, self._leaving):
            ids, size = list(group), FEW
            while ids:
                asked, ids = ids[:size], ids[size:]
                ready = self._note(await self._views.standings(asked))
                if ready and self._hand_over:
                    await self._hand_over(ready)
                moved = sum(each not in group for each in asked)
                if not everything and moved * MANY_MOVED < len(asked):
                    break
                size *= 2

    def _note(self, found: Iterable[Standing]) -> list[tuple[str, datetime]]:
        """Takes note of what can be seen. What it returns is ready to be handed over."""
        ready, before = [], len(self)
        for each in found:
            order = self._waiting.get(each.order_id) or self._leaving[each.order_id]
            self._count(each, order)
            if self._is_at_its_end(each):
                self._waiting.pop(each.order_id, None)
                self._leaving.pop(each.order_id, None)
            elif self._hand_over and each.parcel and each.order_id in self._waiting:
                self._leaving[each.order_id] = self._waiting.pop(each.order_id)
                self._moved = time.monotonic()
                if each.parcel in TO_BE_SENT:
                    ready.append((each.order_id, order.at))
        if len(self) < before:
            self._room.set()
        return ready

    def _count(self, seen: Standing, order: Order) -> None:
        if not order.is_visible:
            order.is_visible = True
            self.progress.visible += 1
            self._moved = time.monotonic()
        if not order.is_settled and seen.state not in MOVING:
            order.is_settled = True
            self.progress.settled += 1
            self._moved = time.monotonic()

    def _is_at_its_end(self, seen: Standing) -> bool:
        if self._hand_over is None:
            return seen.state not in MOVING
        if is_delivered := seen.state == "delivered" and seen.is_paid:
            self.progress.delivered += 1
            self._moved = time.monotonic()
        return is_delivered or seen.state in IN_VAIN

    async def _stands_still(self) -> bool:
        """Whether nothing has moved for so long that waiting is in vain."""
        all_can_be_seen = self._is_last and all(each.is_visible for each in self._waiting.values())
        patience = SETTLE_S if all_can_be_seen and not self._hand_over else PATIENCE_S
        if time.monotonic() - self._moved <= patience:
            return False
        if await self._catches_up() or not self:
            self._moved = time.monotonic()
            return False
        if not self._is_last:
            first = next(iter(self._waiting or self._leaving))
            raise click.ClickException(
                f"{len(self):,} orders have not moved for {patience:.0f} s, so no more are sent; the first is {first}"
                + (f": {self._views.trouble}" if self._views.trouble else "")
            )
        return True
