"""Deadlines that have passed: what has to happen then is asked, durably, before they are forgotten.

However late, twice or interrupted this is done, it asks under the same id, and whoever is asked takes it as a question:
whether it still means anything is decided by the rules.
"""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

import msgspec

from common.bus.outgoing import Message
from common.context import Context, Deadline
from common.recorded import derived_id
from common.shell.asking import PASSING, Asking
from common.shell.patience import LONGEST_S, SHORTEST_S, is_command_fault
from common.store.deadlines import DeadlineTable, Due

log = logging.getLogger(__name__)

IDLE_S = 1.0
MANY = 256


class Deadlines:
    """The deadlines of one context. `fired` counts those that were asked for, `error` says what is wrong."""

    def __init__(self, context: Context, asking: Asking, table: DeadlineTable) -> None:
        self._context, self._asking, self._table = context, asking, table
        self.fired, self.error = 0, ""

    @property
    def any(self) -> bool:
        """Whether this context has deadlines at all."""
        return self._context.expire is not None

    def beat(self) -> dict[str, Any]:
        """How it is, said every second on `beat.deadlines.<context>`."""
        return {"fired": self.fired, "error": self.error, "state": "red" if self.error else "live"}

    async def run(self) -> None:
        """Until cancelled, or until `expire` of the context crashes: then it beats red, and nothing is removed."""
        delay = SHORTEST_S
        while True:
            try:
                more = await self.fire() == MANY
            except Exception as error:
                if not isinstance(error, PASSING) or is_command_fault(error):
                    log.exception("no deadline of %s fires any more", self._context.name)
                    self.error = f"{type(error).__name__}: {error}"
                    return
                self._troubled(f"{type(error).__name__}: {error}")
                await asyncio.sleep(delay * random.uniform(0.7, 1.3))
                delay = min(2 * delay, LONGEST_S)
            else:
                delay, self.error = SHORTEST_S, ""
                if not more:
                    await asyncio.sleep(IDLE_S)

    async def fire(self) -> int:
        """Asks for those that are due, `MANY` at most, and returns how many these were."""
        due = await self._table.due(MANY)
        if due:
            await self._asking.publish([self._message(each) for each in due])
            await self._table.remove(due)
            self.fired += len(due)
        return len(due)

    def _message(self, due: Due) -> Message:
        assert self._context.expire
        command = self._context.expire(due.stream, due.name)
        command_id = derived_id(due.stream, due.name, due.due_at.isoformat())
        return self._asking.message(command, command_id, due.correlation_id, due.event_id)

    def _troubled(self, error: str) -> None:
        if error != self.error:
            log.warning("deadlines of %s wait: %s", self._context.name, error)
        self.error = error


def with_durations(context: Context, durations: Mapping[str, timedelta]) -> Context:
    """The context with other durations for the deadlines of these names."""
    if not durations:
        return context

    def deadlines(event: Any) -> Sequence[Deadline]:
        return [other(deadline, durations) for deadline in context.deadlines(event)]

    return msgspec.structs.replace(context, deadlines=deadlines)


def other(deadline: Deadline, durations: Mapping[str, timedelta]) -> Deadline:
    if deadline.within is None or deadline.name not in durations:
        return deadline
    return Deadline(deadline.name, durations[deadline.name])
