"""One principal's work, round after round: look what is to be done, ask for it when it is due, note the answers.

Nothing is kept that cannot be lost: what was asked for has an id made of the order and the attempt, so whoever looks
again, or is started again, asks for the same.
"""

import asyncio
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct, field

from common.bus.outgoing import OutcomeUnknown, Refused, StreamFull
from common.client import Client
from common.messages import Command
from common.questions import NoAnswer, QueryRefused
from common.recorded import Receipt, derived_id
from contexts.delivery.commands import ConfirmDelivered, DispatchDelivery, ReportFailedAttempt
from projectors.deliveries import DeliveryState, DeliveryView, ListDeliveries

PAGE = 500
MOST_KNOWN = 20_000
"""Parcels that one round looks at; the oldest come first, so the others get their turn."""
MOST_UNDECIDED = 1_000
"""Commands that wait for their answers, at most: who asks faster than is decided only makes a queue."""
ROUND_S, PAUSE_S, LAST_WORDS_S, POLL_S = 0.2, 1.0, 2.0, 0.05
NOT_NOW = (NoAnswer, QueryRefused, OutcomeUnknown, Refused, StreamFull, OSError)

NOBODY = ("nobody at home", "no access to the house", "address not found")


class Tally(Struct):
    """What has been answered to whom."""

    dispatched: int = 0
    delivered: int = 0
    failed_attempts: int = 0
    returned: int = 0
    refused: dict[str, int] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        return self.delivered + self.returned

    def note(self, receipt: Receipt) -> None:
        """Counts what a command has changed, or why it was not accepted."""
        if receipt.state != "accepted":
            self.refused[receipt.code] = self.refused.get(receipt.code, 0) + 1
        elif receipt.events and receipt.type == DispatchDelivery.__name__:
            self.dispatched += 1
        elif receipt.events and receipt.type == ConfirmDelivered.__name__:
            self.delivered += 1
        elif receipt.events:
            self.failed_attempts += 1
            self.returned += receipt.events - 1  # The last attempt also says that it goes back.

    def counted(self) -> dict[str, int]:
        """The counts by the words that name them."""
        done = {
            "dispatched": self.dispatched,
            "delivered": self.delivered,
            "failed attempts": self.failed_attempts,
            "returned": self.returned,
        }
        return done | self.refused


class Job(Struct, frozen=True):
    """What one principal does: `after_s` seconds from when it first sees a parcel in this state it asks for `wish`."""

    principal: str
    state: DeliveryState
    after_s: float
    wish: Callable[[DeliveryView], Command]


class Errand(Struct):
    """One thing to be asked, from when it is due. Without a command it has been answered."""

    due: float
    command: Command | None
    command_id: str
    asked: bool = False


def warehouse(after_s: float) -> Job:
    """Sends off what is scheduled."""
    return Job("warehouse", "scheduled", after_s, lambda parcel: DispatchDelivery(parcel.order_id))


def courier(after_s: float, fail: float, seed: int) -> Job:
    """Delivers, or finds nobody with the given probability: by chance, but the same for the same seed."""

    def wish(parcel: DeliveryView) -> Command:
        chance = random.Random(f"{seed} {parcel.order_id} {parcel.attempts}")
        if chance.random() < fail:
            return ReportFailedAttempt(parcel.order_id, chance.choice(NOBODY))
        return ConfirmDelivered(parcel.order_id)

    return Job("courier", "dispatched", after_s, wish)


class Round:
    """A principal at its job. `open` says how many errands are not answered yet, `trouble` what is in the way."""

    def __init__(self, client: Client, job: Job, tally: Tally) -> None:
        self._client, self._job, self._tally = client, job, tally
        self._errands: dict[tuple[str, int], Errand] = {}
        self.trouble = ""

    @property
    def open(self) -> int:
        return sum(errand.command is not None for errand in self._errands.values())

    async def run(self) -> None:
        """Until cancelled. What is away is waited for. Raises `NotPermitted`."""
        while True:
            begun = time.monotonic()
            try:
                await self._look()
                await self._ask()
                await self._note()
                self.trouble = ""
            except NOT_NOW as error:
                self.trouble = str(error) or type(error).__name__
                await asyncio.sleep(PAUSE_S)
            # Under load a round takes long; then half of the time is left to others.
            await asyncio.sleep(max(ROUND_S, time.monotonic() - begun) if self._errands else ROUND_S)

    async def end(self) -> None:
        """Hears the answers that are still out, for a moment: what was asked for will be done, heard or not."""
        with suppress(TimeoutError, *NOT_NOW):
            async with asyncio.timeout(LAST_WORDS_S):
                while any(map(waits, self._errands.values())):
                    await self._note()
                    await asyncio.sleep(POLL_S)

    async def _look(self) -> None:
        """Makes errands of what is new, and forgets those that are answered and can be seen to be."""
        now, seen = time.monotonic(), set[tuple[str, int]]()
        async for parcel in self._parcels():
            name = parcel.order_id, parcel.attempts
            seen.add(name)
            if name not in self._errands:
                self._errands[name] = self._errand(parcel, now + self._job.after_s)
        gone = [name for name, errand in self._errands.items() if name not in seen and not waits(errand)]
        for name in gone:
            del self._errands[name]

    async def _parcels(self) -> AsyncIterator[DeliveryView]:
        after: str | None = None
        for _ in range(MOST_KNOWN // PAGE):
            page = await self._client.ask(ListDeliveries(state=self._job.state, limit=PAGE, after=after))
            for each in page["deliveries"]:
                yield msgspec.convert(each, DeliveryView)
            if (after := page["next"]) is None:
                return

    def _errand(self, parcel: DeliveryView, due: float) -> Errand:
        command = self._job.wish(parcel)
        return Errand(due, command, derived_id(type(command).__name__, parcel.order_id, str(parcel.attempts)))

    async def _ask(self) -> None:
        """Asks for what is due, all at once: they share the server's disk writes."""
        now = time.monotonic()
        undecided = sum(waits(errand) for errand in self._errands.values())
        due = [each for each in self._errands.values() if each.command and not each.asked and each.due <= now]
        await asyncio.gather(*map(self._send, due[: max(0, MOST_UNDECIDED - undecided)]))

    async def _send(self, errand: Errand) -> None:
        assert errand.command is not None
        try:
            await self._client.send(errand.command, command_id=errand.command_id)
            errand.asked = True
        except (OutcomeUnknown, Refused, StreamFull) as error:
            self.trouble = str(error)  # The next round asks again, under the same id.

    async def _note(self) -> None:
        """Takes note of the answers that are there."""
        waiting = {errand.command_id: errand for errand in self._errands.values() if waits(errand)}
        if not waiting:
            return
        answers: Mapping[str, Any] = await self._client.ask_named("DeliveryReceipts", {"ids": [*waiting]})
        for command_id, receipt in answers.items():
            self._tally.note(msgspec.convert(receipt, Receipt))
            waiting[command_id].command = None


def waits(errand: Errand) -> bool:
    """Whether it is asked for and not answered."""
    return errand.asked and errand.command is not None
