"""Reactions: what a context asks, of itself or of others, because of what has happened (design section 12).

Each context that is followed has a place of its own. Its events are read as read models read them, with gaps healed
(protocol P8). What they call for is stored durably in the stream of commands, and only then the place moves on. So
after any interruption events come again and ask again, under the same ids: the receipts make it once.
"""

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any

from nats.aio.client import Client

from common.bus.outgoing import Message
from common.codec import command_key
from common.context import Context, reacts_to
from common.messages import Event
from common.recorded import reaction_id
from common.shell.asking import PASSING, Asking
from common.shell.deadlines import Deadlines
from common.shell.follower import NOWHERE, contiguous, misfit
from common.shell.patience import is_command_fault
from common.shell.projection import ContextFeed
from common.store.deadlines import DeadlineTable
from common.store.fold import Happened, Undecodable
from common.store.read_schema import load_checkpoints, move_checkpoint
from common.store.read_tables import Checkpoint
from common.store.reader import EventReader, Head

log = logging.getLogger(__name__)

NAME = "reactions"

Troubled = Callable[[str], None]
Record = Callable[[str, Troubled], AbstractAsyncContextManager[EventReader]]
"""Opens the record of a context, as soon as it is there; who waits is told why."""


class Reacting:
    """Asks what the events of one context call for; their feed sees a follower in it.

    `detached` says for good why it has stopped, `trouble` what is wrong now; `asked` counts commands.
    """

    name = NAME

    def __init__(self, context: Context, followed: str, events: tuple[type[Event], ...], asking: Asking, pool: Any):
        self.follows, self.followed = {followed: events}, followed
        self._context, self._asking, self._pool = context, asking, pool
        self._lock = asyncio.Lock()
        self.asked = 0
        self.begin()

    def begin(self) -> None:
        """Anew, as if nothing was known: somebody else may have gone on meanwhile."""
        self.checkpoints: dict[str, Checkpoint] = {}
        self.behind = {self.followed}
        self.detached = self.trouble = ""
        self._known = False

    def at(self, context: str) -> int:
        return self.checkpoints.get(context, NOWHERE).position

    def well(self, context: str, position: int) -> bool:
        return self._known and not self.trouble and self.at(context) >= position

    def troubled(self, error: str) -> None:
        """Notes what is wrong now, and says so once; nothing: all is well again."""
        if error and self.trouble != error:
            log.warning("%s cannot react to %s for now: %s", self._context.name, self.followed, error)
        self.trouble = error

    async def take(self, context: str, events: Sequence[Happened]) -> None:
        """Asks what the events call for, as far as they follow on its place without a gap. Never raises.

        A server that is away or full leaves it in trouble, and taking again may mend that; a reaction that crashes
        detaches it, at the place before that event.
        """
        async with self._lock:
            try:
                await self._advance(events)
            except Exception as error:
                self._known = False  # The statement may or may not have been done: the checkpoint will tell.
                if isinstance(error, PASSING) and not is_command_fault(error):
                    self.troubled(f"{type(error).__name__}: {error}")
                else:
                    self._detach(
                        ", ".join([f"{type(error).__name__}: {error}", *getattr(error, "__notes__", ())]), error
                    )
            else:
                self.troubled("")

    def check(self, context: str, checkpoint: Checkpoint, head: Head) -> None:
        if reason := misfit(context, checkpoint, head):
            self._detach(reason)

    @property
    def error(self) -> str:
        return self.detached or self.trouble

    def beat(self) -> dict[str, Any]:
        """How it is, said every second on `beat.reactions.<context>`; `context` is the one that is followed."""
        checkpoint = self.checkpoints.get(self.followed)
        error = self.error
        return {
            "context": self.followed,
            "position": checkpoint.position if checkpoint else None,
            "incarnation": checkpoint.incarnation if checkpoint else "",
            "state": "red" if error else "catching-up" if self.behind else "live",
            "error": error,
            "asked": self.asked,
        }

    def _detach(self, reason: str, error: Exception | None = None) -> None:
        if not self.detached:
            log.error("%s no longer reacts to %s: %s", self._context.name, self.followed, reason, exc_info=error)
        self.detached = reason

    async def _advance(self, events: Sequence[Happened]) -> None:
        if self.detached:
            return
        if not self._known:
            self.checkpoints = await load_checkpoints(self._pool, self, self._context.name)
            self._known = True
        before = self.checkpoints[self.followed]
        if before.incarnation and any(each.incarnation != before.incarnation for each in events):
            self._detach(f"has followed another incarnation of {self.followed}")
            return
        run = contiguous(events, before.position)
        messages, crash = self._called_for(run)
        if run:
            await self._asking.publish(messages)
            self.asked += len(messages)
            await self._move(before, run)
        if crash:
            raise crash

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

    async def _move(self, before: Checkpoint, run: Sequence[Happened]) -> None:
        sequence = next((each.sequence for each in reversed(run) if each.sequence), before.stream_seq)
        after = Checkpoint(run[-1].position, run[-1].incarnation, sequence, before.generation)
        if await move_checkpoint(self._pool, NAME, self.followed, before, after, self._context.name):
            self.checkpoints[self.followed] = after
        else:
            self._known = False  # Somebody else has moved it.


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
        reacting.begin()
        async with self._record(reacting.followed, reacting.troubled) as reader:
            await ContextFeed(self._nc, reacting.followed, [reacting], reader, self._batch).run()

    def beats(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """How all of it is: kinds of beats, and what each says."""
        yield from (("reactions", each.beat()) for each in self.reacting.values())
        if self.deadlines.any:
            yield "deadlines", self.deadlines.beat()
