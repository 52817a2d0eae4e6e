"""What is known while a batch is decided: as loaded, then as the batch's own decisions have changed it."""

from collections.abc import Sequence
from typing import Any

from common.context import Claim
from common.store.load import Loaded, StreamState

ClaimChange = tuple[Claim, str | None, str | None]
"""A claim, its owner before and its owner after."""


class Table:
    """The table that a batch is decided at."""

    def __init__(self, loaded: Loaded) -> None:
        self.hashes = dict(loaded.hashes)
        self.references = loaded.references
        self.parked = dict(loaded.parked)
        self.changed: dict[str, StreamState] = {}
        self.changes: list[ClaimChange] = []
        self._states = loaded.states
        self._claims = dict(loaded.claims)

    def stream(self, key: str) -> StreamState | None:
        """None for a stream that was not asked for, because its command was refused before."""
        return self.changed.get(key) or self._states.get(key)

    def owner(self, claim: Claim) -> str | None:
        """Raises KeyError for a claim that was not loaded: `may_claim` of the context did not name it."""
        return self._claims[claim]

    def change(self, key: str, state: Any, version: int, added: int, claims: Sequence[ClaimChange]) -> None:
        """`added` is the bytes of the new events."""
        before = self.stream(key)
        weight, since, old = (before.weight, before.since, before.version) if before else (0, 0, 0)
        self.changed[key] = StreamState(state, version, weight + added, "", since + version - old)
        self.changes.extend(claims)
        for claim, _, owner in claims:
            self._claims[claim] = owner
