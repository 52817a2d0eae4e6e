"""A read model is a fold of events into rows. The same fold serves live projection and the comparison with it."""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime
from operator import add
from typing import Any

from msgspec import Struct
from msgspec.structs import astuple

from common.codec import EventCodec
from common.messages import Event
from common.readmodel import Follows, Key, ReadModel
from common.recorded import Recorded
from common.store.read_tables import Kept, Table
from common.store.reader import EventReader

PAGE = 512


class Happened(Struct, frozen=True, gc=False):
    """A recorded event, decoded once for all models. `sequence` is its place in EVENTS, 0 when it came from the store.

    `relayed_at` is when EVENTS stored it, None when it came from the store.
    `event` is None when nobody follows its type; `origin` is it as it was recorded, with all that surrounds it.
    """

    position: int
    incarnation: str
    stream: str
    version: int
    recorded_at: datetime
    event: "Event | Undecodable | None"
    sequence: int = 0
    accepted_at: datetime | None = None
    relayed_at: datetime | None = None
    origin: Recorded | None = None


class Undecodable(Exception):
    """The data of an event that the code does not understand. Whoever follows its type stops; the others go on."""

    def __init__(self, type_name: str, reason: Exception) -> None:
        super().__init__(f"{type_name}: {reason}")
        self.type = type_name


class WrongRow(Exception):
    """A model's `apply` gave a row under another key than `keys` had named."""


def followed(them: Iterable[Follows], context: str) -> EventCodec:
    """Decodes what any of them follows in a context."""
    return EventCodec(tuple({event for each in them for event in each.follows.get(context, ())}))


def decoded(codec: EventCodec, recorded: Recorded, sequence: int = 0, relayed_at: datetime | None = None) -> Happened:
    event: Event | Undecodable | None
    try:
        event = codec.decode(recorded.type, bytes(recorded.data))
    except Exception as error:
        event = Undecodable(recorded.type, error)
    return Happened(
        recorded.position,
        recorded.incarnation,
        recorded.stream,
        recorded.version,
        recorded.recorded_at,
        event,
        sequence,
        recorded.accepted_at,
        relayed_at,
        recorded,
    )


def touched(model: ReadModel, context: str, happened: Iterable[Happened]) -> list[tuple[Key, Any]]:
    """Which rows change by which events, in order; of sums, by what numbers at which position.

    Raises what the model's `keys` or `adds` raises, and `Undecodable`.
    """
    adds, found = model.adds, list[tuple[Key, Any]]()
    for each in heeded(model, context, happened):
        if adds:
            found += [(key, (each.position, numbers)) for key, numbers in adds(each.stream, each.event).items()]
        else:
            found += [(tuple(key), each) for key in model.keys(each.stream, each.event)]
    return found


def heeded(who: Follows, context: str, happened: Iterable[Happened]) -> Iterator[Happened]:
    """Those of the types that somebody follows. Raises `Undecodable`."""
    types = who.follows[context]
    for each in happened:
        if isinstance(each.event, types):
            yield each
        elif isinstance(each.event, Undecodable) and any(each.event.type == kind.__name__ for kind in types):
            raise each.event


def fold(
    table: Table, context: str, touches: Iterable[tuple[Key, Any]], rows: dict[Key, Kept | None]
) -> dict[Key, Kept | None]:
    """Applies events to the rows they touch, in order, in place. Raises what the model's `apply` raises."""
    if table.model.adds:
        return added(table, context, touches, rows)
    apply, blank, versioned = table.model.apply, table.model.blank, table.model.version_from == context
    for key, each in touches:
        kept = rows.get(key)
        before = kept.row if kept else blank(key) if blank else None
        row = apply(before, each.stream, each.event)
        if row is None:
            rows[key] = None
            continue
        if table.key(row) != key:
            raise WrongRow(f"{table.model.name}: keys named {key}, apply gave {table.key(row)}")
        positions, version = (kept.positions, kept.version) if kept else ({}, 0)
        positions[context] = each.position
        rows[key] = Kept(row, positions, each.version if versioned else version)
    return rows


def added(
    table: Table, context: str, touches: Iterable[tuple[Key, tuple[int, tuple[int, ...]]]], rows: dict[Key, Kept | None]
) -> dict[Key, Kept | None]:
    """Adds to the rows what events add to them, in place. A row that is not there begins with zeros."""
    totals: dict[Key, tuple[int, ...]] = {}
    reached: dict[Key, int] = {}
    for key, (position, numbers) in touches:
        total = totals.get(key)
        totals[key] = numbers if total is None else tuple(map(add, total, numbers))
        reached[key] = position
    for key, numbers in totals.items():
        if kept := rows.get(key):
            numbers = tuple(map(add, numbers, astuple(kept.row)[len(key) :]))
        positions = (kept.positions if kept else {}) | {context: reached[key]}
        rows[key] = Kept(table.model.row(*key, *numbers), positions)
    return rows


async def fresh_fold(table: Table, readers: Mapping[str, EventReader]) -> dict[Key, Kept]:
    """All rows, folded from the very first event of every context that the model follows."""
    rows: dict[Key, Kept | None] = {}
    for context in table.contexts:
        codec, after = followed([table.model], context), 0
        while page := await readers[context].page(after, PAGE):
            fold(table, context, touched(table.model, context, [decoded(codec, each) for each in page]), rows)
            after = page[-1].position
    return {key: kept for key, kept in rows.items() if kept is not None}


async def equal_to_fresh_fold(
    pool: Any, model: ReadModel, readers: Mapping[str, EventReader], schema: str = "read"
) -> list[str]:
    """The differences between the table and a fresh fold, one line each; none when they are equal."""
    table = Table(model, schema)
    wanted = await fresh_fold(table, readers)
    kept = [table.kept(record) for record in await pool.fetch(table.select)]
    found = {table.key(each.row): each for each in kept}
    for each in (*wanted.values(), *kept):
        each.positions = {context: each.positions.get(context, 0) for context in table.contexts}
    keys = sorted(found.keys() | wanted.keys(), key=repr)
    return [
        f"{model.name} {key}: table {found.get(key)}, fold {wanted.get(key)}"
        for key in keys
        if found.get(key) != wanted.get(key)
    ]
