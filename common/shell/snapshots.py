"""Snapshots of long streams, taken beside a worker's own work: nothing waits for one, and without one all goes on."""

import asyncio
import logging
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from common.codec import event_encoder
from common.context import Context
from common.faults import described
from common.store.append import Appended
from common.store.load import StreamState
from common.store.snapshots import NewSnapshot, keep

log = logging.getLogger(__name__)


class Snapshots:
    """Those of one context. `taken` counts what was kept."""

    def __init__(self, context: Context, pool: Any) -> None:
        self._name, self._snapshot, self._pool = context.name, context.snapshot, pool
        self._due: dict[str, tuple[StreamState, Appended]] = {}
        self._anything = asyncio.Event()
        self.taken = 0

    def note(self, states: Mapping[str, StreamState], appended: Appended) -> dict[str, StreamState]:
        """The states, as an append has left them; those of whose streams a snapshot is due begin to count anew."""
        if self._snapshot is None:
            return dict(states)
        due = {stream: state for stream, state in states.items() if state.since >= self._snapshot.every}
        if due:
            self._due |= {stream: (state, appended) for stream, state in due.items()}
            self._anything.set()
        return {**states, **{stream: replace(state, since=0) for stream, state in due.items()}}

    async def run(self) -> None:
        """Until cancelled: takes what is due."""
        while True:
            await self._anything.wait()
            await self.take()

    async def take(self) -> None:
        """Takes all that are due now. One that cannot be taken is left: the next comes after as many events."""
        self._anything.clear()
        while self._due:
            stream = next(iter(self._due))
            state, appended = self._due.pop(stream)
            try:
                await keep(self._pool, self._name, self._frozen(stream, state, appended))
                self.taken += 1
            except Exception as error:
                log.warning("no snapshot of %s %s: %s", self._name, stream, described(error))

    def _frozen(self, stream: str, state: StreamState, appended: Appended) -> NewSnapshot:
        assert self._snapshot
        data = event_encoder.encode(self._snapshot.freeze(state.state)).decode()
        shape = self._snapshot.shape
        return NewSnapshot(stream, state.version, shape, appended.incarnation, appended.recorded_at, data)
