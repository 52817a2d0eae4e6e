"""Reactions: what a context asks, of itself or of others, because of what has happened (design section 12).

Each context that is followed has a place of its own. Its events are read as read models read them, with gaps healed
(protocol P8). What they call for is stored durably in the stream of commands, and only then the place moves on. So
after any interruption events come again and ask again, under the same ids: the receipts make it once.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import Any

from nats.aio.client import Client

from common.bus.outgoing import Message
from common.codec import command_key
from common.context import Context, reacts_to
from common.messages import Event
from common.recorded import reaction_id
from common.shell.asking import Asking
from common.shell.context_feed import ContextFeed
from common.shell.contiguous import behind
from common.shell.deadlines import Deadlines
from common.shell.listener import Listener
from common.store.checkpoints import Checkpoint, load_checkpoints, move_checkpoint
from common.store.deadlines import DeadlineTable
from common.store.fold import Happened, Undecodable
from common.store.reader import EventReader

NAME = "reactions"

Troubled = Callable[[str], None]
Record = Callable[[str, Troubled], AbstractAsyncContextManager[EventReader]]
"""Opens the record of a context, as soon as it is there; who waits is told why."""


class Reacting:
    """Asks what the events of one context call for. `asked` counts commands."""

    def __init__(self, context: Context, followed: str, events: tuple[type[Event], ...], asking: Asking, pool: Any):
        self._context, self._asking, self._pool = context, asking, pool
        self.followed = followed
        load = partial(load_checkpoints, pool, schema=context.name)
        self.listener = Listener(NAME, context.name, followed, events, load, self._heed)
        self.asked = 0

    def beat(self) -> dict[str, Any]:
        """How it is, said every second on `beat.reactions.<context>`; `context` is the one that is followed."""
        return self.listener.beat() | {"asked": self.asked}

    async def _heed(self, before: Checkpoint, run: list[Happened]) -> Checkpoint | None:
        """Asks, then moves the place on. What a reaction raises is raised once its event is the next one."""
        messages, crash = self._called_for(run)
        if crash and not run:
            raise crash
        await self._asking.publish(messages)
        self.asked += len(messages)
        after = behind(before, run)
        moved = await move_checkpoint(self._pool, NAME, self.followed, before, after, self._context.name)
        return after if moved else None

    def _called_for(self, run: list[Happened]) -> tuple[list[Message], Exception | None]:
        """What the events call for. At a crash the run is cut short before its event."""
        messages: list[Message] = []
        for place, each in enumerate(run):
            try:
                messages += self._asked(each)
            except Exception as error:
                del run[place:]
                error.add_note(f"at position {each.position} of {self.followed}, stream {each.stream}")
                return messages, error
        return messages, None

    def _asked(self, happened: Happened) -> list[Message]:
        if isinstance(happened.event, Undecodable):
            raise happened.event
        reaction = self._context.reactions.get(type(happened.event)) if happened.event else None
        if reaction is None:
            return []
        assert happened.origin
        origin, event_id = happened.origin, happened.origin.id
        commands = reaction(happened.stream, happened.event)
        ids = [reaction_id(event_id, type(command).__name__, command_key(command)) for command in commands]
        if len(set(ids)) < len(ids):
            raise ValueError(f"{origin.type} asks for two commands of one type and key: they would have one id")
        made = zip(commands, ids, strict=True)
        return [self._asking.message(command, each, origin.correlation_id, event_id) for command, each in made]


class Reactions:
    """All that a context asks because of events and deadlines. `pool` writes to its store."""

    def __init__(self, nc: Client, context: Context, pool: Any, record: Record, batch: int = 256) -> None:
        self._nc, self._record, self._batch = nc, record, batch
        self.reacting = {
            followed: Reacting(context, followed, events, Asking(nc, context), pool)
            for followed, events in sorted(reacts_to(context).items())
        }
        self.deadlines = Deadlines(context, Asking(nc, context), DeadlineTable(pool, context.name))

    async def run(self) -> None:
        """Until cancelled. Servers that are away are waited for; what cannot go on is left out and beats red."""
        async with asyncio.TaskGroup() as group:
            for work in self._works():
                group.create_task(work)

    def _works(self) -> Iterator[Coroutine[Any, Any, Any]]:
        yield from (self._follow(each) for each in self.reacting.values())
        if self.deadlines.any:
            yield self.deadlines.run()
        yield asyncio.Event().wait()  # Not to be begun again at once when all have stopped.

    async def _follow(self, reacting: Reacting) -> None:
        listener = reacting.listener
        listener.begin()
        async with self._record(reacting.followed, listener.troubled) as reader:
            await ContextFeed(self._nc, reacting.followed, [listener], reader, self._batch).run()

    def beats(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """How all of it is: kinds of beats, and what each says."""
        yield from (("reactions", each.beat()) for each in self.reacting.values())
        if self.deadlines.any:
            yield "deadlines", self.deadlines.beat()
