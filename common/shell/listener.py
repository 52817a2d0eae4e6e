"""Taking in the events of one context from a place that is kept beside no rows: for reactions and effects."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from common.messages import Event
from common.readmodel import Follows
from common.shell.asking import PASSING
from common.shell.contiguous import contiguous, misfit
from common.shell.patience import is_command_fault
from common.store.checkpoints import NOWHERE, Checkpoint
from common.store.fold import Happened
from common.store.reader import Head

log = logging.getLogger(__name__)

Heed = Callable[[Checkpoint, list[Happened]], Awaitable[Checkpoint | None]]
"""Does what events call for that follow on a place; the place behind them, or None when somebody else has moved it.

May raise: a server that is away or full is trouble, and taking again from the place that is stored may mend that;
anything else stops the listener for good.
"""

Load = Callable[[Follows], Awaitable[dict[str, Checkpoint]]]
"""Reads the place that is stored for who follows, by context."""


class Listener:
    """Hands on what comes next in one context, each event once for each place; its feed sees a follower in it.

    `name` and `owner` say whose it is. `detached` says for good why it has stopped, `trouble` what is wrong now.
    """

    def __init__(
        self, name: str, owner: str, followed: str, events: tuple[type[Event], ...], load: Load, heed: Heed
    ) -> None:
        self.name, self.follows, self.followed = name, {followed: events}, followed
        self._owner, self._load, self._heed = owner, load, heed
        self._lock = asyncio.Lock()
        self.begin()

    def begin(self) -> None:
        """Anew, as if nothing was known: somebody else may have gone on meanwhile."""
        self.checkpoints: dict[str, Checkpoint] = {}
        self.behind = {self.followed}
        self.detached = self.trouble = ""
        self._known = False

    def lost(self) -> None:
        """The place that was stored is there no more: it is read anew, and what lies behind it comes again."""
        self.checkpoints[self.followed], self._known = NOWHERE, False

    def at(self, context: str) -> int:
        return self.checkpoints.get(context, NOWHERE).position

    def well(self, context: str, position: int) -> bool:
        return self._known and not self.trouble and self.at(context) >= position

    def troubled(self, error: str) -> None:
        """Notes what is wrong now, and says so once; nothing: all is well again."""
        if error and self.trouble != error:
            log.warning("the %s of %s wait for now, at %s: %s", self.name, self._owner, self.followed, error)
        self.trouble = error

    async def take(self, context: str, events: Sequence[Happened]) -> None:
        """Hands on the events, as far as they follow on its place without a gap. Never raises."""
        async with self._lock:
            try:
                await self._advance(events)
            except Exception as error:
                self._known = False  # What was stored may be further than what is known.
                if isinstance(error, PASSING) and not is_command_fault(error):
                    self.troubled(f"{type(error).__name__}: {error}")
                else:
                    notes = getattr(error, "__notes__", ())
                    self._detach(", ".join([f"{type(error).__name__}: {error}", *notes]), error)
            else:
                self.troubled("")

    def check(self, context: str, checkpoint: Checkpoint, head: Head) -> None:
        if reason := misfit(context, checkpoint, head):
            self._detach(reason)

    @property
    def error(self) -> str:
        return self.detached or self.trouble

    def beat(self) -> dict[str, Any]:
        """How it is; `context` is the one that is followed."""
        checkpoint = self.checkpoints.get(self.followed)
        error = self.error
        return {
            "context": self.followed,
            "position": checkpoint.position if checkpoint else None,
            "incarnation": checkpoint.incarnation if checkpoint else "",
            "state": "red" if error else "catching-up" if self.behind else "live",
            "error": error,
        }

    def _detach(self, reason: str, error: Exception | None = None) -> None:
        if not self.detached:
            log.error("the %s of %s stop at %s: %s", self.name, self._owner, self.followed, reason, exc_info=error)
        self.detached = reason

    async def _advance(self, events: Sequence[Happened]) -> None:
        if self.detached:
            return
        if not self._known:
            self.checkpoints = await self._load(self)
            self._known = True
        before = self.checkpoints[self.followed]
        if before.incarnation and any(each.incarnation != before.incarnation for each in events):
            self._detach(f"has followed another incarnation of {self.followed}")
        elif run := contiguous(events, before.position):
            after = await self._heed(before, run)
            self._known = after is not None
            self.checkpoints[self.followed] = after or before
