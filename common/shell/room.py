"""Room for so many who wait at once: what comes beyond that is told so at once, instead of holding memory for later."""

from types import TracebackType


class Full(Exception):
    """As many wait already as may wait at once."""


class Room:
    """Counts who is `inside`. Whoever enters (`with room:`) when `most` are inside gets `Full` and is not counted."""

    def __init__(self, most: int) -> None:
        self.most, self.inside = most, 0

    def __enter__(self) -> None:
        if self.inside >= self.most:
            raise Full(f"{self.inside} wait already")
        self.inside += 1

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.inside -= 1
