"""A bounded memory of identities."""


class Recent:
    """Remembers the last ids, at least `size` and at most twice as many."""

    def __init__(self, size: int) -> None:
        self._size, self._new, self._old = size, set[str](), set[str]()

    def seen(self, identity: str) -> bool:
        """Whether this id was asked for lately; remembers it."""
        known = identity in self._new or identity in self._old
        self._new.add(identity)
        if len(self._new) >= self._size:
            self._new, self._old = set(), self._new
        return known
