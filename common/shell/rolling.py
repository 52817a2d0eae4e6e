"""Quantiles of the last minute, in little memory."""

import math
import time
from collections import Counter, deque

SLOT_S, SLOTS = 10, 6
GROWTH = 1.02
"""From one bucket to the next: a quantile is within 1 % of the true value."""
_LOG_GROWTH = math.log(GROWTH)
LEAST_MS = 0.001


class Rolling:
    """Durations in ms over the last minute, counted in buckets that grow by 2 %, in slots of ten seconds."""

    def __init__(self) -> None:
        self._slots: deque[tuple[int, Counter[int]]] = deque(maxlen=SLOTS)

    def add(self, ms: float, times: int = 1) -> None:
        """Counts a duration. One that is negative was measured by two clocks that differ: nobody knows it."""
        if ms < 0:
            return
        slot = int(time.monotonic() / SLOT_S)
        if not self._slots or self._slots[-1][0] != slot:
            self._slots.append((slot, Counter()))
        self._slots[-1][1][round(math.log(max(ms, LEAST_MS)) / _LOG_GROWTH)] += times

    def quantiles(self, *wanted: float) -> tuple[int, list[float | None]]:
        """How many durations there are, and the wanted quantiles (0 to 1) of them in ms; None when there are none."""
        oldest = int(time.monotonic() / SLOT_S) - SLOTS
        total: Counter[int] = Counter()
        for slot, counts in self._slots:
            if slot > oldest:
                total.update(counts)
        n = total.total()
        return n, [quantile(total, each * n) for each in wanted]


def quantile(counts: Counter[int], rank: float) -> float | None:
    """The duration that `rank` of the counted ones do not exceed."""
    seen = 0
    for bucket in sorted(counts):
        seen += counts[bucket]
        if seen >= rank:
            return GROWTH**bucket
    return None
