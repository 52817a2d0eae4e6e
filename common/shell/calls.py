"""Calls to the world outside: each is asked, with the same key, until it is answered (design section 12)."""

import asyncio
import logging
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from time import monotonic

from msgspec import Struct

from common.context import Effect
from common.messages import Command
from common.recorded import Recorded
from common.store.checkpoints import Checkpoint
from common.store.fold import Happened

log = logging.getLogger(__name__)

SHORTEST_S, LONGEST_S = 0.2, 30.0
"""How long to rest before a call is asked again: at first, and at most."""
MOST_OPEN = 4096
"""So many calls may be open. When all of them are, the next wait until one is settled."""

Answer = Callable[[Command, Recorded, int], Awaitable[None]]
"""Sees to it that an answer reaches its context, however long that takes: the command, its cause, its number."""


class Tally(Struct):
    """What has been counted since the start. `silent` counts the times that no answer came, `failed` the errors."""

    asked: int = 0
    answered: int = 0
    silent: int = 0
    failed: int = 0


class Open(Struct, eq=False):
    """A call that is not settled. `before` is the place before its event, `trouble` why it was not answered so far."""

    before: Checkpoint
    since: float
    trouble: str = ""


class Calls:
    """The open calls of one context, in the order of their events. At most `at_once` of them are asked at a time.

    Those that are asked again are at most half of these, so that what is silent for hours leaves room for what is
    asked for the first time. `moved` is set whenever a call is settled.
    """

    def __init__(self, effect: Effect, answer: Answer, tally: Tally) -> None:
        self._effect, self._answer, self.tally = effect, answer, tally
        self._open: dict[int, Open] = {}
        self._slots = asyncio.Semaphore(effect.at_once)
        self._repeats = asyncio.Semaphore(max(1, effect.at_once // 2))
        self._room = asyncio.Semaphore(MOST_OPEN)
        self.moved = asyncio.Event()

    async def ask(self, group: asyncio.TaskGroup, happened: Happened, before: Checkpoint) -> None:
        """Begins to ask what an event asks for, as soon as there is room; `before` is the place before the event."""
        await self._room.acquire()
        self._open[happened.position] = Open(before, monotonic())
        group.create_task(self._settle(happened), name=f"a call of {happened.stream}")

    def up_to(self, taken: Checkpoint) -> Checkpoint:
        """The place up to which all is settled, when all up to `taken` has been begun."""
        return next((each.before for each in self._open.values()), taken)

    @property
    def open(self) -> int:
        return len(self._open)

    @property
    def unanswered(self) -> int:
        """How many have been asked in vain so far."""
        return sum(bool(each.trouble) for each in self._open.values())

    @property
    def oldest_s(self) -> float:
        """For how long the oldest open call has been open here; 0 when there is none."""
        return next((monotonic() - each.since for each in self._open.values()), 0.0)

    @property
    def trouble(self) -> str:
        """Why the oldest call that was asked in vain has no answer; empty when there is none."""
        return next((each.trouble for each in self._open.values() if each.trouble), "")

    async def _settle(self, happened: Happened) -> None:
        delay, trouble = SHORTEST_S, await self._asked(happened)
        while trouble:
            self._note(happened, trouble)
            await asyncio.sleep(delay * random.uniform(0.7, 1.3))
            delay = min(2 * delay, LONGEST_S)
            async with self._repeats:
                trouble = await self._asked(happened)
        del self._open[happened.position]
        self._room.release()
        self.moved.set()

    async def _asked(self, happened: Happened) -> str:
        """Asks once. Why it is to be asked again; empty when it is settled: answered, or there was nothing to ask.

        One answer settles it, whatever becomes of further ones.
        """
        origin, number = happened.origin, 0
        assert origin
        async with self._slots:
            self.tally.asked += 1
            try:
                answers = self._effect.ask(origin.id, happened.stream, happened.event)
                while command := await self._next(answers):
                    await self._answer(command, origin, number + 1)
                    number += 1
                    self.tally.answered += 1
            except TimeoutError:
                self.tally.silent += not number
                return "" if number else f"no answer within {self._effect.within_s:g} s"
            except Exception as error:
                self.tally.failed += 1
                return "" if number else f"{type(error).__name__}: {error}"
        return ""

    async def _next(self, answers: AsyncIterator[Command]) -> Command | None:
        async with asyncio.timeout(self._effect.within_s):
            return await anext(answers, None)

    def _note(self, happened: Happened, trouble: str) -> None:
        mine = self._open[happened.position]
        if trouble != mine.trouble:  # Said once, not at each of many tries.
            log.warning("%s of %s is asked again: %s", type(happened.event).__name__, happened.stream, trouble)
        mine.trouble = trouble
