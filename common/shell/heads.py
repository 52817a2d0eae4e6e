"""How stale a read model is: the age of the oldest event that it does not show, never understated (design section 10).

A context's process is asked where its record ends and how old the events behind some positions are, by the clock of its
own database. The answer is shared by all queries of the next moments; the time since it was asked for is added.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import monotonic

from msgspec import Struct

from common.shell.context_queries import HeadAnswer

log = logging.getLogger(__name__)

AskHead = Callable[[str, tuple[int, ...]], Awaitable[HeadAnswer | None]]
"""Asks a context for its head and the lag behind positions; None when it does not answer. Never raises."""

FRESH_S = 0.05
"""An answer younger than this is not asked for again."""
WORTH_WAITING_S = 0.02
SILENT_S = 1.0
"""For so long nobody waits for a context that has not answered."""
UNKNOWN_AFTER_S = 5.0


class _Known(Struct):
    """The head as it was asked for at a monotonic time, and how old the oldest event behind a position was then."""

    asked_at: float
    head: int
    behind: int
    age_ms: float | None


class Heads:
    """What is known of the heads of contexts."""

    def __init__(self, ask: AskHead) -> None:
        self._ask = ask
        self._known: dict[str, _Known] = {}
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._silent_until: dict[str, float] = {}

    def look(self, context: str, position: int) -> None:
        """Sees to it that something recent is known soon, for a reader that is at this position."""
        if context in self._asking or self._suffices(self._known.get(context), position):
            return
        self._asking[context] = task = asyncio.create_task(self._look(context, position))
        task.add_done_callback(lambda _: self._asking.pop(context, None))

    def _suffices(self, known: _Known | None, position: int) -> bool:
        if known is None or monotonic() - known.asked_at >= FRESH_S:
            return False
        return position >= known.behind

    async def _look(self, context: str, position: int) -> None:
        asked_at = monotonic()
        answer = await self._ask(context, (position,))
        if answer is None:
            self._silent_until[context] = monotonic() + SILENT_S
            return
        behind, age = (position, answer.lag[0].ms) if answer.lag else (answer.position, 0.0)
        self._known[context] = _Known(asked_at, answer.position, behind, age)

    async def staleness_ms(self, context: str, position: int) -> float | None:
        """At most how old the oldest event is that a reader at this position does not show; None: unknown."""
        asking = self._asking.get(context)
        if asking and monotonic() >= self._silent_until.get(context, 0):
            await asyncio.wait({asking}, timeout=WORTH_WAITING_S)
            if not asking.done():
                self._silent_until[context] = monotonic() + SILENT_S
        known = self._known.get(context)
        since = monotonic() - known.asked_at if known else UNKNOWN_AFTER_S
        if known is None or since >= UNKNOWN_AFTER_S:
            return None
        if position >= known.head:
            return since * 1000
        return None if known.age_ms is None or position < known.behind else known.age_ms + since * 1000
