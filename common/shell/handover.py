"""What the worker of this process has just recorded, kept a moment for the relay, which need not read it back."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

from common.recorded import Recorded
from common.store.reader import EventReader

MOST = 8192
"""Events that wait for the relay, at most. When more come, all are forgotten: they are in the store."""


class Handover(EventReader):
    """A reader of the record whose newest pages may be at hand. What is at hand is what the store would give."""

    def __init__(self, pool: Any, context: str) -> None:
        super().__init__(pool, context)
        self._waiting: deque[Recorded] = deque()
        self._handed = 0  # Up to where all that was at hand was given, until that has been said.
        self.wake: Callable[[], None] | None = None
        """Called when something is at hand, while the relay runs in this process and needs no hint on the bus."""

    def put(self, events: Sequence[Recorded]) -> None:
        """Takes a batch that has been recorded. After a gap, as when another worker wrote, it begins anew."""
        waiting = self._waiting
        if waiting and (waiting[-1].position + 1 != events[0].position or len(waiting) + len(events) > MOST):
            waiting.clear()
        waiting.extend(events)
        if self.wake:
            self.wake()

    async def page(self, after: int, limit: int) -> list[Recorded]:
        """The next page. Behind what was at hand there is said to be nothing, once; who looks again asks the store."""
        waiting = self._waiting
        while waiting and waiting[0].position <= after:
            waiting.popleft()
        if waiting and waiting[0].position == after + 1:
            given = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
            self._handed = 0 if waiting else given[-1].position
            return given
        handed, self._handed = self._handed, 0
        if handed == after and handed and not waiting:
            return []  # So that the store is not asked after each batch. What others record, they give a hint of.
        return await super().page(after, limit)
