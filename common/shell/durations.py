"""How long something took: quantiles of the last minute, and counts since the start for whoever collects metrics."""

from bisect import bisect_left
from collections import deque
from collections.abc import Sequence
from time import monotonic
from typing import TypeVar

from ddsketch import DDSketch
from msgspec import Struct

Item = TypeVar("Item")

SLOT_S, SLOTS = 10, 6
ACCURACY = 0.01
"""A quantile is within so much of the true value."""
SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
SIZES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)
"""Upper bounds of buckets."""
MOST_TIMED = 8


class Quantiles(Struct, frozen=True):
    """Milliseconds over the last minute: of `n` measured ones, and of `unknown` ones that no clock could tell."""

    n: int = 0
    unknown: int = 0
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None


class Buckets:
    """Values counted by size since the start, as Prometheus takes them."""

    def __init__(self, bounds: Sequence[float] = SECONDS) -> None:
        self._bounds = bounds
        self._counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def add(self, value: float, times: int = 1) -> None:
        self._counts[bisect_left(self._bounds, value)] += times
        self.sum += value * times

    def cumulative(self) -> list[tuple[str, float]]:
        """Upper bound and how many values do not exceed it."""
        found, total = [], 0
        for bound, count in zip((*self._bounds, float("inf")), self._counts, strict=True):
            total += count
            found.append(("+Inf" if bound == float("inf") else str(bound), float(total)))
        return found


class _Slot:
    """What was measured in ten seconds."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.sketch = DDSketch(ACCURACY)
        self.unknown = 0


class Durations:
    """Durations of one kind."""

    def __init__(self) -> None:
        self._slots: deque[_Slot] = deque(maxlen=SLOTS)
        self._past, self._of = _Slot(0), (0, 0)  # What is over of the last minute, as one, and of which slots that is.
        self.since_start = Buckets()
        self.unknown = 0

    def add(self, seconds: float | None, times: int = 1) -> None:
        """Counts a duration. Nobody knows one without a clock, nor one that two clocks make negative."""
        if not times:
            return  # The sketch takes no such weight.
        slot = self._slot()
        if seconds is None or seconds < 0:
            slot.unknown += times
            self.unknown += times
            return
        slot.sketch.add(seconds * 1000, times)
        self.since_start.add(seconds, times)

    def _slot(self) -> _Slot:
        number = int(monotonic() / SLOT_S)
        if not self._slots or self._slots[-1].number != number:
            self._slots.append(_Slot(number))
        return self._slots[-1]

    def last_minute(self) -> Quantiles:
        oldest = int(monotonic() / SLOT_S) - SLOTS
        slots = [slot for slot in self._slots if slot.number > oldest]
        if len(slots) > 1:
            if self._of != (of := (slots[0].number, slots[-1].number)):
                self._past, self._of = together(slots[:-1]), of
            slots = [self._past, slots[-1]]
        minute = together(slots)
        found = (minute.sketch.get_quantile_value(each) for each in (0.5, 0.95, 0.99, 1.0))
        ms = (None if each is None else round(each, 3) for each in found)
        return Quantiles(round(minute.sketch.count), minute.unknown, *ms)


def together(slots: Sequence[_Slot]) -> _Slot:
    """What was measured in all of them."""
    merged = _Slot(0)
    for slot in slots:
        merged.sketch.merge(slot.sketch)
        merged.unknown += slot.unknown
    return merged


def timed(items: Sequence[Item]) -> list[tuple[Item, int]]:
    """Some of the items, each for itself and its neighbours behind it, with how many these are.

    What arrives together takes about as long, and timing each would cost more than moving it. Where items come in the
    order of age, a neighbour is timed by the oldest: no duration is understated.
    """
    step = -(-len(items) // MOST_TIMED) or 1
    return [(items[place], min(step, len(items) - place)) for place in range(0, len(items), step)]
