"""How long the oldest undecided command of each context has been waiting (protocol P9)."""

import asyncio
import logging
from collections.abc import Iterable
from datetime import UTC, datetime

from gateway.link import Bus
from gateway.problems import Problem, later

log = logging.getLogger(__name__)

EVERY_S = 1.0


class Backlog:
    """Read once a second from the command stream itself, without any database."""

    def __init__(self, bus: Bus, contexts: Iterable[str], limit_s: float) -> None:
        self._bus, self._limit = bus, limit_s
        self.ages: dict[str, float] = dict.fromkeys(contexts, 0.0)

    async def run(self) -> None:
        """Until cancelled. While the bus is away, what was known last stands."""
        await self._bus.connected.wait()
        while True:
            for context in self.ages:
                await self._look(context)
            await asyncio.sleep(EVERY_S)

    async def _look(self, context: str) -> None:
        try:
            oldest = await self._bus.message(seq=1, next_by_subj=f"work.{context}.>")
        except Exception as error:
            log.warning("the backlog of %s is not known: %s", context, error or type(error).__name__)
            return
        stored = datetime.fromisoformat(oldest["time"]) if oldest else None
        self.ages[context] = (datetime.now(UTC) - stored).total_seconds() if stored else 0.0

    def refusal(self, context: str) -> Problem | None:
        """A 503 problem when the backlog is too old to add to it."""
        if (age := self.ages[context]) <= self._limit:
            return None
        detail = f"commands to {context} have been waiting for {age:.0f} s to be decided; no more are taken for now"
        return later("backlog", detail, context=context, oldest_s=round(age))
