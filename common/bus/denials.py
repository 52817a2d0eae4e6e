"""What the server does not permit it tells the connection, not the caller, who sees only a time-out. This tells him."""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from msgspec import Struct

from common.bus.connect import BusErrors


class NotPermitted(Exception):
    """The server does not let this principal publish there."""


class Waiting(Struct, eq=False):
    """Somebody who has published to a subject and waits for an answer."""

    task: asyncio.Task[object] | None
    denied: bool = False


class Denials(BusErrors):
    """The errors of a connection; those who wait for what was denied are woken."""

    def __init__(self) -> None:
        super().__init__()
        self._waiting: dict[str, list[Waiting]] = {}

    async def note(self, error: Exception) -> None:
        await super().note(error)
        text = str(error).lower()  # The client gives the server's words in lower case.
        if "permissions violation" not in text:
            return
        for subject, waiting in self._waiting.items():
            if f'"{subject.lower()}"' in text:
                for each in waiting:
                    each.denied = True
                    if each.task:
                        each.task.cancel()

    @contextmanager
    def heard(self, subject: str) -> Iterator[None]:
        """For the time of a publish and its answer. Raises `NotPermitted` at once when the server denies it."""
        waiting = Waiting(asyncio.current_task())
        self._waiting.setdefault(subject, []).append(waiting)
        try:
            yield
        except asyncio.CancelledError:
            if not (waiting.denied and waiting.task):
                raise
            waiting.task.uncancel()
            raise NotPermitted(f"not permitted: {subject}") from None
        finally:
            self._waiting[subject].remove(waiting)
            if not self._waiting[subject]:
                del self._waiting[subject]
