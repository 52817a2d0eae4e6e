"""How many requests each route has answered, with which status and how quickly; about a microsecond each."""

from collections.abc import Iterator
from time import perf_counter

from common.metrics import Sample
from common.shell.durations import Buckets

Key = tuple[str, str, str]
"""Method, route template and status."""


class Traffic:
    """Counts for the whole gateway."""

    def __init__(self) -> None:
        self._answered: dict[Key, Buckets] = {}

    def count(self, method: str, path: str, status: int, began: float) -> None:
        """Counts a request that began at this time of `perf_counter`."""
        key = (method, path, str(status))
        buckets = self._answered.get(key)
        if buckets is None:
            buckets = self._answered[key] = Buckets()
        buckets.add(perf_counter() - began)

    def samples(self) -> Iterator[Sample]:
        for key, buckets in self._answered.items():
            yield Sample("daybook_http_request_seconds", key, buckets)
