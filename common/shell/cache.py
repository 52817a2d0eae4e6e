"""The states of streams that were decided lately, so that they need not be loaded again."""

from collections import OrderedDict
from collections.abc import Mapping

from common.context import Snapshot
from common.store.load import StreamState

MOST_STREAMS = 20_000
MOST_WEIGHT = 4 * 1024 * 1024
"""Bytes of JSON that the cached states were made from; in memory they take several times as much. Measured: with six
times as many kept, decoding new commands takes twice as long, for want of warm memory."""
MOST_MEMORY = 100 * 1024 * 1024
"""Bytes of memory for states that are weighed, which are few, large, and in use again and again."""


class Cache:
    """States as they were after the last append, each good for the lease epoch that it was written under alone.

    States that can be frozen say themselves what they weigh: what they were made from grows with every event.
    """

    def __init__(self, snapshot: Snapshot | None = None, most: int = 0) -> None:
        self._weigh = snapshot.weigh if snapshot else None
        self._most = most or (MOST_MEMORY if snapshot else MOST_WEIGHT)
        self._kept: OrderedDict[str, tuple[int, StreamState, int]] = OrderedDict()
        self._weight = 0

    def get(self, stream: str, epoch: int) -> StreamState | None:
        kept = self._kept.get(stream)
        return kept[1] if kept and kept[0] == epoch else None

    def keep(self, states: Mapping[str, StreamState], epochs: Mapping[str, int]) -> None:
        """Keeps states by stream, under the epochs by stream; forgets what was not used for longest."""
        for stream, state in states.items():
            self._drop(stream)
            if not state.broken:
                weight = self._weigh(state.state) if self._weigh else state.weight
                self._kept[stream] = epochs[stream], state, weight
                self._weight += weight
        while self._weight > self._most or len(self._kept) > MOST_STREAMS:
            self._drop(next(iter(self._kept)))

    def _drop(self, stream: str) -> None:
        if stream in self._kept:
            self._weight -= self._kept.pop(stream)[2]

    def clear(self) -> None:
        self._kept.clear()
        self._weight = 0
