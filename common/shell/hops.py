"""The way of a command in hops, each timed by who ends it."""

from collections.abc import Iterator
from typing import Literal

from common.shell.durations import Durations, Quantiles

Hop = Literal[
    "accepted_to_decided",
    "decided_to_recorded",
    "recorded_to_relayed",
    "relayed_to_visible",
    "recorded_to_visible",
    "accepted_to_visible",
]
"""From the command stream's storing to a worker's draft; to the database's stamp; to the EVENTS stream's
acknowledgement; from its storing to the rows; and two longer ways."""


class Hops:
    """Durations of some hops."""

    def __init__(self, *names: Hop) -> None:
        self._durations = {name: Durations() for name in names}

    def __iter__(self) -> Iterator[tuple[Hop, Durations]]:
        return iter(self._durations.items())

    def add(self, hop: Hop, seconds: float | None, times: int = 1) -> None:
        """Counts a duration, of so many at once; None when nobody knows it."""
        self._durations[hop].add(seconds, times)

    def last_minute(self) -> dict[Hop, Quantiles]:
        """How long each hop took."""
        return {hop: durations.last_minute() for hop, durations in self}
