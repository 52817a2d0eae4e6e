"""Waiting, in a context's own process, for decisions that an asker wishes to see. What is recorded shows at once."""

from time import monotonic

from nats.aio.client import Client

from common.shell.decisions import AskReceipt, position_of
from common.shell.room import Full, Room
from common.shell.unanswered import Unanswered
from common.shell.wish import Wish

MOST_WAITING = 1024


class Arrival:
    """Waits for commands to one context."""

    def __init__(self, nc: Client, context: str, receipt: AskReceipt) -> None:
        self._nc, self._context, self._receipt = nc, context, receipt
        self._room = Room(MOST_WAITING)

    async def __call__(self, principal: str, wish: Wish) -> None:
        """Until the commands of this context that the wish names are decided. Raises `Unanswered`."""
        deadline = monotonic() + wish.wait_s
        try:
            for each in wish.after:
                if each.command_id and each.context == self._context:
                    with self._room:
                        await position_of(self._nc, self._receipt, principal, each, max(deadline - monotonic(), 0))
        except Full:
            raise Unanswered(503, "too-many-waiting", "too many wait already; ask again, or without waiting") from None
