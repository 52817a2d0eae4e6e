"""Jars that react: a small context that asks because of drops that fall, into its own jars or into those of another."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, cast

import msgspec
from msgspec import Struct
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.context import Context, Reaction
from common.messages import Command, Event, Id
from common.recorded import COMMAND_ID_HEADER
from common.shell.reactions import Reacting, Reactions
from common.store.reader import EventReader
from tests.shell.toys import Added, Emptied
from tests.shell.worlds import World

ROOM = 16 * 1024 * 1024


class NoteDrops(Command, key="jar"):
    jar: Id
    drops: int
    note: str = ""


class WipeTable(Command, key="table"):
    table: Id
    jar: str


def wash(jar: str, event: Any) -> list[Command]:
    return [NoteDrops(jar, event.drops), WipeTable("table", jar)]


def note(jar: str, event: Any) -> list[Command]:
    return [NoteDrops(jar, event.drops)]


def event_of(context: str) -> type[Event]:
    """The type of an event that another context would define in its module `events`."""
    made = msgspec.defstruct("Poured", [("drops", int)], bases=(Event,), module=f"{context}.events", frozen=True)
    return cast(type[Event], made)


def jars_that_react(name: str, reactions: Mapping[type[Event], Reaction]) -> Context:
    return Context(
        name=name,
        commands=(NoteDrops, WipeTable),
        events=(Added, Emptied),
        initial=None,
        decide=lambda command, state, known: [],
        evolve=lambda state, event: state,
        reactions=reactions,
    )


class Asked(Struct, frozen=True):
    """A command as it was stored."""

    type: str
    key: str
    body: Any
    headers: dict[str, str]

    @property
    def id(self) -> str:
        return self.headers[COMMAND_ID_HEADER]


class Pond:
    """A world whose context reacts, with a stream for what it asks."""

    def __init__(self, world: World, nc: Client, others: tuple[World, ...]) -> None:
        self.world, self.nc = world, nc
        self.name, self.stream = world.name, f"ASKED_{world.name}"
        self._readers = {each.name: each.reader for each in (world, *others)}

    @asynccontextmanager
    async def _record(self, context: str, troubled: Callable[[str], None]) -> AsyncIterator[EventReader]:
        yield self._readers[context]

    def reactions(self, context: Context, nc: Client | None = None, batch: int = 256) -> Reactions:
        return Reactions(nc or self.nc, context, self.world.writer, self._record, batch)

    async def make_stream(self, room: int = ROOM) -> None:
        config = {
            "name": self.stream,
            "subjects": [f"command.{self.name}.{self.name}.>"],
            "storage": "file",
            "discard": "new",
            "max_bytes": room,
            "allow_atomic": True,
        }
        await ask_jetstream(self.nc, f"STREAM.CREATE.{self.stream}", config)

    async def change(self, **changed: Any) -> None:
        """Gives the stream other settings."""
        found = (await ask_jetstream(self.nc, f"STREAM.INFO.{self.stream}", {}))["config"]
        await ask_jetstream(self.nc, f"STREAM.UPDATE.{self.stream}", found | changed)

    async def take(self) -> list[Asked]:
        """What was asked, in its order; it is removed."""
        found, last = await stored_in(self.nc, self.stream)
        await ask_jetstream(self.nc, f"STREAM.PURGE.{self.stream}", {"seq": last + 1})
        return found

    async def asked(self) -> list[Asked]:
        """What was asked, in its order."""
        return (await stored_in(self.nc, self.stream))[0]

    async def has_asked(self, count: int) -> bool:
        """Whether so many commands are stored."""
        state = (await ask_jetstream(self.nc, f"STREAM.INFO.{self.stream}", {}))["state"]
        return bool(state["messages"] >= count)

    async def place(self, context: str = "") -> int:
        found = await self.world.writer.fetchval(
            f"SELECT position FROM {self.name}.checkpoints WHERE model = 'reactions' AND context = $1",
            context or self.name,
        )
        return found or 0


async def stored_in(nc: Client, stream: str) -> tuple[list[Asked], int]:
    """The commands in a stream, and the place of the last."""
    state = (await ask_jetstream(nc, f"STREAM.INFO.{stream}", {}))["state"]
    found = []
    for sequence in range(max(state["first_seq"], 1), state["last_seq"] + 1):
        message = await nc.jetstream().get_msg(stream, seq=sequence)
        _, _, _, key, kind = (message.subject or "").split(".")
        found.append(Asked(kind, key, msgspec.json.decode(message.data or b""), dict(message.headers or {})))
    return found, state["last_seq"]


@asynccontextmanager
async def pond(world: World, *others: World, nc: Client | None = None, room: int = ROOM) -> AsyncIterator[Pond]:
    made = Pond(world, nc or world.nc, others)
    await made.make_stream(room)
    yield made
    await ask_jetstream(made.nc, f"STREAM.DELETE.{made.stream}", {})


def of(reactions: Reactions, context: str = "") -> Reacting:
    """How it reacts to one context, of which there may be but one."""
    return reactions.reacting[context] if context else next(iter(reactions.reacting.values()))


def by_key(asked: list[Asked]) -> dict[str, list[Any]]:
    """The bodies that were asked of each key, in their order; of what was asked again, the first."""
    found: dict[str, list[Any]] = defaultdict(list)
    for each in first(asked):
        found[each.key].append(each.body)
    return dict(found)


def first(asked: list[Asked]) -> Iterator[Asked]:
    seen: set[str] = set()
    for each in asked:
        if each.id not in seen:
            seen.add(each.id)
            yield each
