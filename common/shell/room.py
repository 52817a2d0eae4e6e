"""Room for so many who wait at once: what comes beyond that is told so at once, instead of holding memory for later."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

SHARE = 4
"""Nobody may take more than one part in so many: the rest is for others."""


class Full(Exception):
    """As many wait already as may wait at once."""


class Room:
    """Counts who is `inside`, at most `most`, and of one principal at most a quarter of that."""

    def __init__(self, most: int) -> None:
        self.most, self.inside = most, 0
        self._of: Counter[str] = Counter()

    @contextmanager
    def place(self, principal: str) -> Iterator[None]:
        """A place for as long as the block runs. Raises `Full`, and counts nothing then."""
        if self.inside >= self.most or self._of[principal] >= max(self.most // SHARE, 1):
            raise Full(f"{self._of[principal]} of {principal} wait already, {self.inside} altogether")
        self.inside += 1
        self._of[principal] += 1
        try:
            yield
        finally:
            self.inside -= 1
            self._of[principal] -= 1
            if not self._of[principal]:
                del self._of[principal]
