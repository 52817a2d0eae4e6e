"""Effects: what a context asks of the world outside because of its own events (design section 12).

Each event that calls for it is asked with its id as key, until an answer has come; the answer goes, stored durably, to
the context as a command. Only then does the place move on: it lies below the lowest call that is open. So after any
interruption the open calls are asked again with the same keys; those after them only when the context has not settled
their answers yet.
"""

import asyncio
import logging
import random
from functools import partial
from typing import Any

from nats.aio.client import Client

from common.codec import CommandCodec, command_key
from common.context import Context
from common.messages import Command
from common.recorded import Recorded, answer_id
from common.shell.asking import PASSING, Asking
from common.shell.calls import Calls, Tally
from common.shell.context_feed import ContextFeed
from common.shell.contiguous import behind
from common.shell.listener import Listener
from common.shell.patience import LONGEST_S, SHORTEST_S, patiently
from common.store.checkpoints import Checkpoint, load_checkpoints, move_checkpoint
from common.store.fold import Happened, Undecodable
from common.store.reader import EventReader

log = logging.getLogger(__name__)

NAME = "effects"
SAVE_EVERY_S = 0.1
OVERDUE_S = 10.0
"""A call that has been open for so long makes the effects red."""


class Effects:
    """The effects of one context, which must have some. At most one should run, under a lease; two ask twice.

    `pool` writes to the context's store. `saved` is the place that a successor goes on from.
    """

    def __init__(self, nc: Client, context: Context, pool: Any, reader: EventReader, batch: int = 256) -> None:
        assert context.effect
        self._nc, self._pool, self._reader, self._batch = nc, pool, reader, batch
        self._context, self._effect = context, context.effect
        self._asking = Asking(nc, context)
        self._codecs = {each: CommandCodec(each) for each in context.commands}
        self._trouble = ""
        load = partial(load_checkpoints, pool, schema=context.name)
        self.listener = Listener(NAME, context.name, context.name, context.effect.events, load, self._heed)
        self.tally = Tally()
        self._begin()

    def _begin(self) -> None:
        self.calls = Calls(self._effect, self._record, self.tally)
        self.listener.begin()
        self._taken = self.saved = Checkpoint(0, "", 0, 0)
        self._head: int | None = None  # Up to here, where the record ended at the start, all may have been asked.

    async def run(self) -> None:
        """Until cancelled. Whoever does not answer is asked again for ever, and shown."""
        self._begin()
        async with asyncio.TaskGroup() as self._group:
            self._group.create_task(self._keep_place(), name="the place of effects")
            await ContextFeed(self._nc, self._context.name, [self.listener], self._reader, self._batch).run()
            await asyncio.Event().wait()  # It goes on no further, but what is open is still asked.

    async def _heed(self, before: Checkpoint, run: list[Happened]) -> Checkpoint:
        """Begins to ask what the events call for. Waits while too many calls are open."""
        settled = await self._settled(run)
        for each in run:
            if isinstance(each.event, Undecodable):
                raise each.event
            if isinstance(each.event, self._effect.events) and each.position not in settled:
                await self.calls.ask(self._group, each, before)
            self._taken = before = behind(before, [each])
            self.calls.moved.set()
        return before

    async def _settled(self, run: list[Happened]) -> set[int]:
        """The positions of those of the replayed events whose first answer has a receipt.

        They are not asked again: one silent call keeps the place low for long, and who is asked may forget keys.
        """
        if self._head is None:
            self._head = (await patiently(self._reader.head, self.listener.troubled)).position
        if run[0].position > self._head:
            return set()
        asked = [each for each in run if isinstance(each.event, self._effect.events)]
        ids = {first: each.position for each in asked for first in self._first_answers(each)}
        name = self._context.name
        found = await patiently(lambda: self._reader.receipts(name, list(ids)), self.listener.troubled)
        return {ids[each] for each in found}

    def _first_answers(self, asked: Happened) -> list[str]:
        """The ids that its first answer may have, whichever command it is."""
        assert asked.origin
        return [answer_id(asked.origin.id, each.__name__, asked.stream, 1) for each in self._codecs]

    async def _record(self, command: Command, origin: Recorded, number: int) -> None:
        """Stores an answer in the stream of commands, however long that takes.

        Raises `Rejected` for one that the context would not take: nothing is told by it.
        """
        key = command_key(command)
        command_id = answer_id(origin.id, type(command).__name__, key, number)
        message = self._asking.message(command, command_id, origin.correlation_id, origin.id)
        self._codecs[type(command)].decode(key, message.body)
        delay = SHORTEST_S
        while True:
            try:
                await self._asking.publish([message])
                self._trouble = ""
                return
            except PASSING as error:
                self._trouble = f"answers cannot be told: {type(error).__name__}: {error}"
                log.warning("%s: %s", self._context.name, self._trouble)
            await asyncio.sleep(delay * random.uniform(0.7, 1.3))
            delay = min(2 * delay, LONGEST_S)

    async def _keep_place(self) -> None:
        """Stores up to where all is settled, again and again."""
        name = self._context.name
        self.saved = (await patiently(lambda: load_checkpoints(self._pool, self.listener, name)))[name]
        while True:
            await self.calls.moved.wait()
            self.calls.moved.clear()
            await patiently(self._save)
            await asyncio.sleep(SAVE_EVERY_S)

    async def _save(self) -> None:
        before, after = self.saved, self.calls.up_to(self._taken)
        if after.position > before.position:
            name = self._context.name
            moved = await move_checkpoint(self._pool, NAME, name, before, after, name)
            # Somebody else has moved it, who holds the lease by now: his place is as good as ours.
            self.saved = after if moved else (await load_checkpoints(self._pool, self.listener, name))[name]

    @property
    def error(self) -> str:
        """What is wrong; empty when all is well."""
        calls = self.calls
        late = calls.unanswered and calls.oldest_s > OVERDUE_S
        overdue = f"{calls.unanswered} calls without an answer, for up to {calls.oldest_s:.0f} s: {calls.trouble}"
        return self.listener.error or self._trouble or (overdue if late else "")

    def beat(self) -> dict[str, Any]:
        """How it is, said every second on `beat.effects.<context>`. `position` is below the lowest open call."""
        error = self.error
        shown = {
            "position": self.saved.position,
            "error": error,
            "open": self.calls.open,
            "unanswered": self.calls.unanswered,
            "oldest_s": round(self.calls.oldest_s, 1),
            "asked": self.tally.asked,
        }
        return self.listener.beat() | shown | ({"state": "red"} if error else {})
