"""How stale a read model is: the age of the oldest event that it does not show, never understated (design section 10).

A context's process is asked where its record ends and how old the events behind some positions are, by the clock of its
own database. The answer is shared by all queries of the next moments; the time since it was asked for is added.
"""

import asyncio
from collections import defaultdict, deque
from collections.abc import Awaitable, Callable
from time import monotonic

from msgspec import Struct

from common.shell.context_queries import HeadAnswer

AskHead = Callable[[str, tuple[int, ...]], Awaitable[HeadAnswer | None]]
"""Asks a context for its head and the lag behind positions; None when it does not answer. Never raises."""

FRESH_S = 0.05
"""An answer younger than this is not asked for again."""
GOOD_MS = 100
"""Who is known to be no staler than this waits for no better answer: it would keep all who ask at that moment."""
WORTH_WAITING_S = 0.02
SILENT_S = 1.0
"""For so long nobody waits for a context that has not answered."""
UNKNOWN_AFTER_S = 5.0
KEPT = 8
"""Answers per context: an older one may tell of a reader that is further behind."""


class _Known(Struct, frozen=True):
    """The head as it was asked for at a monotonic time, and how old the oldest event behind a position was then."""

    asked_at: float
    head: int
    incarnation: str
    behind: int
    age_ms: float | None

    @property
    def since_s(self) -> float:
        return monotonic() - self.asked_at

    def bound_ms(self, position: int, incarnation: str) -> float | None:
        """The most that the age of the oldest event behind a position can be now; None when this does not tell."""
        if self.since_s >= UNKNOWN_AFTER_S or incarnation not in ("", self.incarnation):
            return None
        if position >= self.head:
            return self.since_s * 1000
        if position < self.behind or self.age_ms is None:
            return None
        return self.age_ms + self.since_s * 1000


class Heads:
    """What is known of the heads of contexts."""

    def __init__(self, ask: AskHead) -> None:
        self._ask = ask
        self._known: dict[str, deque[_Known]] = defaultdict(lambda: deque(maxlen=KEPT))
        self._asking: dict[str, asyncio.Task[None]] = {}
        self._silent_until: dict[str, float] = {}

    def look(self, context: str, position: int) -> None:
        """Sees to it that something recent is known soon, for a reader that is at this position."""
        known = self._known[context]
        if context in self._asking or (known and known[-1].since_s < FRESH_S and position >= known[-1].behind):
            return
        self._asking[context] = task = asyncio.create_task(self._look(context, position))
        task.add_done_callback(lambda _: self._asking.pop(context, None))

    async def _look(self, context: str, position: int) -> None:
        asked_at = monotonic()
        answer = await self._ask(context, (position,))
        if answer is None:
            self._silent_until[context] = monotonic() + SILENT_S
            return
        behind, age = (position, answer.lag[0].ms) if answer.lag else (answer.position, 0.0)
        self._known[context].append(_Known(asked_at, answer.position, answer.incarnation, behind, age))

    async def staleness_ms(self, context: str, position: int, incarnation: str) -> float | None:
        """At most how old the oldest event is that a reader at this position does not show; None: unknown.

        An event counts from when it is committed; it may have been recorded the time of a commit before.
        """
        for _ in range(2):  # Who asked just now may have been further ahead, and his answer may say nothing of us.
            bound = self._bound_ms(context, position, incarnation)
            if bound is None or bound > GOOD_MS:
                await self._answered(context)
                bound = self._bound_ms(context, position, incarnation)
            if bound is not None:
                return bound
            self.look(context, position)
        return None

    def _bound_ms(self, context: str, position: int, incarnation: str) -> float | None:
        bounds = (each.bound_ms(position, incarnation) for each in self._known[context])
        return min((each for each in bounds if each is not None), default=None)

    async def position(self, context: str) -> int | None:
        """Where the record ends, asked for now."""
        answer = await self._ask(context, ())
        return answer.position if answer else None

    async def _answered(self, context: str) -> None:
        """Until the question that is out is answered, if that is worth waiting for."""
        asking = self._asking.get(context)
        if asking and monotonic() >= self._silent_until.get(context, 0):
            await asyncio.wait({asking}, timeout=WORTH_WAITING_S)
            if not asking.done():
                self._silent_until[context] = monotonic() + SILENT_S
