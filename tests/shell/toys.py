"""A small context that is no shop: jars, to which drops are added until they are emptied; and three models of it."""

from datetime import UTC, datetime

import msgspec
from msgspec import Struct

from common.messages import Event
from common.readmodel import Key, ReadModel
from common.recorded import Recorded
from common.store.new_rows import NewEvent

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Added(Event):
    """A drop fell into the jar."""

    drops: int
    colour: str = "blue"


class Emptied(Event):
    """The jar holds nothing any more."""


class Jar(Struct, frozen=True):
    """A jar that is not empty."""

    jar: str
    drops: int
    colours: list[str]
    first: datetime
    note: str | None = None


def jar_keys(stream: str, event: Event) -> list[Key]:
    return [(stream,)]


def jar_apply(row: Jar | None, stream: str, event: Event) -> Jar | None:
    match event:
        case Added(drops=drops, colour=colour) if row is None:
            return Jar(stream, drops, [colour], NOON)
        case Added(drops=drops, colour=colour) if row is not None:
            return msgspec.structs.replace(row, drops=row.drops + drops, colours=[*row.colours, colour])
        case _:
            return None


class Colour(Struct, frozen=True):
    """How many drops of a colour ever fell, by the first letter of the jar."""

    colour: str
    letter: str
    drops: int = 0


def colour_keys(stream: str, event: Event) -> list[Key]:
    return [(event.colour, stream[0])] if isinstance(event, Added) else []


def colour_apply(row: Colour | None, stream: str, event: Event) -> Colour | None:
    if not isinstance(event, Added):
        return row
    row = row or Colour(event.colour, stream[0])
    return msgspec.structs.replace(row, drops=row.drops + event.drops)


def jars(*contexts: str) -> ReadModel:
    """The jars of these contexts. Jars of the same name in two contexts are one jar here."""
    follows = {context: (Added, Emptied) for context in contexts}
    return ReadModel(name="jars", row=Jar, key=("jar",), follows=follows, keys=jar_keys, apply=jar_apply)


def colours(*contexts: str) -> ReadModel:
    return ReadModel(
        name="colours",
        row=Colour,
        key=("colour", "letter"),
        follows={context: (Added,) for context in contexts},
        keys=colour_keys,
        apply=colour_apply,
        indexes=("drops DESC",),
    )


def new_event(stream: str, version: int, event: Event) -> NewEvent:
    data = msgspec.json.encode(event).decode()
    command_id = f"{stream}-{version}"
    return NewEvent(stream, version, type(event).__name__, data, 0, command_id, "alice", command_id, "", NOON)


def recorded(context: str, position: int, stream: str, version: int, event: Event) -> Recorded:
    """An event as if it had been recorded."""
    return Recorded(
        context=context,
        incarnation="one",
        position=position,
        stream=stream,
        version=version,
        type=type(event).__name__,
        data=msgspec.Raw(msgspec.json.encode(event)),
        n=0,
        command_id=f"{stream}-{version}",
        principal="alice",
        correlation_id="",
        causation_id="",
        accepted_at=NOON,
        recorded_at=NOON,
    )
