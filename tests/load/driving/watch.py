"""Looks at `/consistency-lag` once a second: what is visible by now, and how long that took.

Its quantiles are of the last minute, as the read model's own process measures them.
"""

import asyncio
from time import perf_counter
from typing import Any

import msgspec
from msgspec import Struct

from tests.load.driving.target import Target
from tests.load.wire import Line, get_request, open_line

EVERY_S = 1.0
MODEL = "orders"
WITHIN_S = 30.0
STILL_S = 5.0
LOOK_S = 3.0


class Look(Struct, frozen=True):
    """One answer. `at` is of `perf_counter`; `behind` counts events that are recorded and not visible."""

    at: float
    projected: int
    behind: int | None
    p50_ms: float | None
    p99_ms: float | None


class Watch:
    """Every look so far, oldest first. A look that fails is left out."""

    def __init__(self, target: Target) -> None:
        self._target, self.looks = target, list[Look]()
        self._request = get_request("/consistency-lag", target.key)
        self._line: Line | None = None

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self.look()
            await asyncio.sleep(EVERY_S)

    async def look(self) -> None:
        if not self._target.host:
            return
        try:
            async with asyncio.timeout(LOOK_S):
                self._line = self._line or await open_line(self._target.host, self._target.port)
                reply = await self._line.ask(self._request)
            found = understood(msgspec.json.decode(reply.body))
        except (OSError, TimeoutError, msgspec.DecodeError):
            if self._line:
                self._line.close()
            self._line = None
            return
        if found:
            self.looks.append(found)

    async def first_look(self) -> None:
        """Waits until the read model is heard of, which a system that has just begun may take a second for."""
        begun = perf_counter()
        while not self.looks and self._target.host and perf_counter() - begun < STILL_S:
            await self.look()
            await asyncio.sleep(0 if self.looks else EVERY_S / 10)

    async def all_visible(self, changes: int) -> None:
        """Waits until so many changes are visible since the first look, or nothing moves any more."""
        begun = moved = perf_counter()
        while self.looks and self.visible < changes:
            before = self.visible
            await asyncio.sleep(EVERY_S / 10)
            await self.look()
            moved = perf_counter() if self.visible > before else moved
            if perf_counter() - moved > STILL_S or perf_counter() - begun > WITHIN_S:
                return

    @property
    def visible(self) -> int:
        """Changes that have become visible since the first look."""
        return self.looks[-1].projected - self.looks[0].projected if self.looks else 0

    def close(self) -> None:
        if self._line:
            self._line.close()


def understood(answer: Any) -> Look | None:
    """The read model of orders, whatever else the answer holds; None when it says nothing of it."""
    models = answer.get("read_models", []) if isinstance(answer, dict) else []
    for each in models:
        if each.get("model") == MODEL and each.get("context") == "order" and isinstance(each.get("projected"), int):
            behind, p50, p99 = (number(each.get(name)) for name in ("events", "p50_ms", "p99_ms"))
            return Look(perf_counter(), each["projected"], None if behind is None else int(behind), p50, p99)
    return None


def number(given: Any) -> float | None:
    """What is unknown is None."""
    return float(given) if isinstance(given, int | float) else None
