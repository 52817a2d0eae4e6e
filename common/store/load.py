"""The load: everything that a batch of commands needs to be decided, in one round trip."""

import logging
from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from common.codec import EventCodec
from common.context import Claim, Context
from common.faults import described
from common.personal import decode_personal
from common.store.snapshots import with_snapshots

log = logging.getLogger(__name__)

CommandName = tuple[str, str]
"""Principal and command id."""
Holder = tuple[str, str]
"""A key, and by what of it a command is held."""


class Wanted(Struct):
    """What a batch needs: receipts by command, streams that no cache holds, claims, reference rows, what is parked."""

    commands: list[CommandName]
    streams: list[str]
    holders: list[Holder]
    claims: list[Claim]
    references: list[str]


class StreamState(Struct, frozen=True, gc=False):
    """A stream's state and version. `weight` is the bytes of JSON that it was made from, as a measure of its size;
    `since` counts the events since its last snapshot.

    `broken` tells why the state cannot be had: an event or a row that the context's code does not understand.
    """

    state: Any
    version: int
    weight: int = 0
    broken: str = ""
    since: int = 0


class Loaded(Struct):
    """What there is of it. `hashes` are those of existing receipts, `parked` the last command parked by holder."""

    hashes: dict[CommandName, str]
    states: dict[str, StreamState]
    claims: dict[Claim, str | None]
    references: dict[str, Any]
    parked: dict[Holder, str]


class Unthawable(Exception):
    """A snapshot that the code does not understand: the stream is folded without it."""


RECEIPTS = """SELECT 'receipt' AS kind, r.principal AS a, r.command_id AS b, 0::bigint AS n, r.hash AS c
    FROM {s}.receipts r JOIN unnest($1::text[], $2::text[]) AS w(p, i) ON (r.principal, r.command_id) = (w.p, w.i)"""
EVENTS = "SELECT 'event', stream, type, version, data FROM {s}.events WHERE stream = ANY($3::text[])"
ROWS = "SELECT 'row', stream, '', version, data FROM {s}.rows WHERE stream = ANY($3::text[])"
PARKED = """SELECT DISTINCT ON (p.key, p.held_by) 'parked', p.key, p.held_by, 0, p.command_id FROM {s}.parked p
    JOIN unnest($4::text[], $8::text[]) AS w(k, h) ON (p.key, p.held_by) = (w.k, w.h)
    ORDER BY p.key, p.held_by, p.id DESC"""
CLAIMS = """SELECT 'claim', c.kind, c.value, 0, c.stream FROM {s}.claims c
    JOIN unnest($5::text[], $6::text[]) AS w(k, v) ON (c.kind, c.value) = (w.k, w.v)"""
REFERENCES = """SELECT 'reference', t.{key}, '', 0, row_to_json(t)::text FROM {s}.{table} t
    WHERE t.{key} = ANY($7::text[])"""


class Loader:
    """Loads for one context. Which parts the statement has follows from what the context declares."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._codec = EventCodec(context.events)
        self._row = msgspec.json.Decoder(context.row, dec_hook=decode_personal) if context.row else None
        self._reference = msgspec.json.Decoder(context.reference.model.row) if context.reference else None
        self._snapshot = context.snapshot
        self._form = msgspec.json.Decoder(context.snapshot.form, dec_hook=decode_personal) if context.snapshot else None
        self._plain = self._statement(ROWS if self._row else EVENTS)
        self._sql = self._statement(with_snapshots(context.snapshot.shape)) if context.snapshot else self._plain

    def _statement(self, states: str) -> str:
        parts = [RECEIPTS, states, f"({PARKED})"]
        # Parameters that a context does not use still need a type.
        parts.append(CLAIMS)
        if self._context.reference:
            model = self._context.reference.model
            parts.append(REFERENCES.replace("{key}", model.key[0]).replace("{table}", model.name))
        else:
            parts.append("SELECT '', '', '', 0, '' WHERE cardinality($7::text[]) < 0")
        return (" UNION ALL ".join(parts) + " ORDER BY n").replace("{s}", f'"{self._context.name}"')

    async def load(self, connection: Any, wanted: Wanted) -> Loaded:
        """One statement. States of streams that have no events are the context's initial one, at version 0."""
        try:
            return await self._load(connection, self._sql, wanted)
        except Unthawable:
            return await self._load(connection, self._plain, wanted)

    async def _load(self, connection: Any, sql: str, wanted: Wanted) -> Loaded:
        rows = await connection.fetch(
            sql,
            [principal for principal, _ in wanted.commands],
            [command_id for _, command_id in wanted.commands],
            wanted.streams,
            [key for key, _ in wanted.holders],
            [claim.kind for claim in wanted.claims],
            [claim.value for claim in wanted.claims],
            wanted.references,
            [held_by for _, held_by in wanted.holders],
        )
        initial = StreamState(self._context.initial, 0)
        loaded = Loaded({}, dict.fromkeys(wanted.streams, initial), dict.fromkeys(wanted.claims), {}, {})
        for row in rows:
            self._note(loaded, *row)
        return loaded

    def _note(self, loaded: Loaded, kind: str, a: str, b: str, n: int, c: str) -> None:
        match kind:
            case "receipt":
                loaded.hashes[a, b] = c
            case "event" | "row":
                loaded.states[a] = self._next(loaded.states[a], b, n, c)
            case "snapshot":
                loaded.states[a] = self._thawed(a, n, c)
            case "parked":
                loaded.parked[a, b] = c
            case "claim":
                loaded.claims[Claim(a, b)] = c
            case "reference" if self._reference:
                loaded.references[a] = self._reference.decode(c)

    def _next(self, before: StreamState, type_name: str, version: int, data: str) -> StreamState:
        """The state after an event, or as a row has it. What fails here concerns this stream alone."""
        weight, since = before.weight + len(data), before.since + 1
        if before.broken:
            return StreamState(before.state, version, weight, before.broken, since)
        try:
            return StreamState(self._evolved(before.state, type_name, data), version, weight, "", since)
        except Exception as error:
            log.exception("%s of %s cannot be understood", type_name or "a row", self._context.name)
            return StreamState(before.state, version, weight, f"version {version}: {described(error)}", since)

    def _thawed(self, stream: str, version: int, data: str) -> StreamState:
        """The state as a snapshot has it. Raises `Unthawable`."""
        assert self._snapshot and self._form
        try:
            return StreamState(self._snapshot.thaw(self._form.decode(data)), version, len(data))
        except Exception as error:
            log.exception("the snapshot of %s %s cannot be understood", self._context.name, stream)
            raise Unthawable(stream) from error

    def _evolved(self, state: Any, type_name: str, data: str) -> Any:
        if self._row:
            return self._row.decode(data)
        event = self._codec.decode(type_name, data)
        return state if event is None else self._context.evolve(state, event)


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in first order."""
    return list(dict.fromkeys(values))
