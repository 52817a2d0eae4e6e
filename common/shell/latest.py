"""The events of a record that were handed on last, for those who come late: read and decoded once for all of them."""

from collections import deque
from collections.abc import Sequence
from itertools import islice

from common.store.fold import PAGE, Happened

MOST, MOST_BYTES = 2048, 4 * 1024 * 1024
"""Events, and bytes of their JSON, that are kept."""


class Latest:
    """Events without a gap, of one incarnation of the record. What does not follow on them takes their place."""

    def __init__(self) -> None:
        self.events: deque[Happened] = deque()
        self._bytes = 0

    def add(self, events: Sequence[Happened]) -> None:
        for each in events:
            if self.events and not follows(self.events[-1], each):
                self.events.clear()
                self._bytes = 0
            self.events.append(each)
            self._bytes += size_of(each)
        while len(self.events) > MOST or self._bytes > MOST_BYTES:
            self._bytes -= size_of(self.events.popleft())

    def after(self, position: int) -> list[Happened]:
        """All that is kept behind a position, so that who is late writes once what has changed many times meanwhile.

        Nothing where what follows on it is not kept.
        """
        start = position + 1 - self._first
        return list(islice(self.events, start, None)) if 0 <= start < len(self.events) else []

    def missing(self, position: int) -> int:
        """How many to read from the store behind a position: up to the first that is kept, a page at most."""
        return min(self._first - position - 1, PAGE) if position + 1 < self._first else PAGE

    @property
    def _first(self) -> int:
        return self.events[0].position if self.events else 0


def follows(before: Happened, after: Happened) -> bool:
    return after.position == before.position + 1 and after.incarnation == before.incarnation


def size_of(happened: Happened) -> int:
    return len(happened.origin.data) if happened.origin else 0
