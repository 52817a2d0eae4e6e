"""Waiting, in a context's own process, for decisions that an asker wishes to see. What is recorded shows at once."""

from time import monotonic

from nats.aio.client import Client

from common.shell.decisions import AskReceipt, place_after
from common.shell.places import reflected
from common.shell.room import Full, Room
from common.shell.unanswered import Unanswered, too_many
from common.shell.wish import After, Wish
from common.store.checkpoints import Checkpoint
from common.store.reader import EventReader

MOST_WAITING = 1024


class Arrival:
    """Waits for commands to one context."""

    def __init__(self, nc: Client, reader: EventReader, receipt: AskReceipt) -> None:
        self._nc, self._reader, self._receipt = nc, reader, receipt
        self._room = Room(MOST_WAITING)

    async def __call__(self, principal: str, wish: Wish) -> None:
        """Until the record holds what the wish names of this context. Raises `Unanswered`."""
        mine = [each for each in wish.after if each.context == self._reader.context]
        if not mine:
            return
        try:
            with self._room.place(principal):
                await self._until_recorded(principal, mine, monotonic() + wish.wait_s)
        except Full as full:
            raise too_many(full) from None

    async def _until_recorded(self, principal: str, wanted: list[After], deadline: float) -> None:
        for each in wanted:
            if each.command_id:
                await place_after(self._nc, self._receipt, principal, each, max(deadline - monotonic(), 0))
        head = await self._reader.head()
        end = Checkpoint(head.position, head.incarnation, 0, 0)
        if not all(reflected(end, each) for each in wanted):
            raise Unanswered(503, "not-visible-yet", f"the record ends at position {head.position}")
