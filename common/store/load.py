"""The load: everything that a batch of commands needs to be decided, in one round trip."""

from collections.abc import Iterable
from typing import Any

import msgspec
from msgspec import Struct

from common.codec import EventCodec
from common.context import Claim, Context
from common.personal import decode_personal

CommandName = tuple[str, str]
"""Principal and command id."""


class Wanted(Struct):
    """What a batch needs: receipts by command, streams that no cache holds, claims, reference rows, parked keys."""

    commands: list[CommandName]
    streams: list[str]
    keys: list[str]
    claims: list[Claim]
    references: list[str]


class Loaded(Struct):
    """What there is of it. `hashes` are those of existing receipts, `parked` the last command parked under a key."""

    hashes: dict[CommandName, str]
    states: dict[str, tuple[Any, int]]
    claims: dict[Claim, str | None]
    references: dict[str, Any]
    parked: dict[str, str]


RECEIPTS = """SELECT 'receipt' AS kind, r.principal AS a, r.command_id AS b, 0::bigint AS n, r.hash AS c
    FROM {s}.receipts r JOIN unnest($1::text[], $2::text[]) AS w(p, i) ON (r.principal, r.command_id) = (w.p, w.i)"""
EVENTS = "SELECT 'event', stream, type, version, data FROM {s}.events WHERE stream = ANY($3::text[])"
ROWS = "SELECT 'row', stream, '', version, data FROM {s}.rows WHERE stream = ANY($3::text[])"
PARKED = """SELECT DISTINCT ON (key) 'parked', key, command_id, 0, '' FROM {s}.parked
    WHERE key = ANY($4::text[]) ORDER BY key, id DESC"""
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
        self._sql = self._statement()

    def _statement(self) -> str:
        parts = [RECEIPTS, ROWS if self._row else EVENTS, f"({PARKED})"]
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
        rows = await connection.fetch(
            self._sql,
            [principal for principal, _ in wanted.commands],
            [command_id for _, command_id in wanted.commands],
            wanted.streams,
            wanted.keys,
            [claim.kind for claim in wanted.claims],
            [claim.value for claim in wanted.claims],
            wanted.references,
        )
        loaded = Loaded({}, {stream: (self._context.initial, 0) for stream in wanted.streams}, {}, {}, {})
        loaded.claims = dict.fromkeys(wanted.claims)
        for row in rows:
            self._note(loaded, *row)
        return loaded

    def _note(self, loaded: Loaded, kind: str, a: str, b: str, n: int, c: str) -> None:
        match kind:
            case "receipt":
                loaded.hashes[a, b] = c
            case "event":
                event = self._codec.decode(b, c)
                state = loaded.states[a][0]
                loaded.states[a] = (state if event is None else self._context.evolve(state, event), n)
            case "row":
                loaded.states[a] = (self._row.decode(c) if self._row else None, n)
            case "parked":
                loaded.parked[a] = b
            case "claim":
                loaded.claims[Claim(a, b)] = c
            case "reference" if self._reference:
                loaded.references[a] = self._reference.decode(c)


def distinct(values: Iterable[Any]) -> list[Any]:
    """Each value once, in first order."""
    return list(dict.fromkeys(values))
