"""The append: one autocommit statement that writes a batch's events, receipts and place, or nothing (protocol P1)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from msgspec import Struct

from common.context import Claim
from common.recorded import State


class NewEvent(Struct, frozen=True, gc=False):
    """An event about to be recorded; `n` counts within its command."""

    stream: str
    version: int
    type: str
    data: str
    n: int
    command_id: str
    principal: str
    correlation_id: str
    causation_id: str
    accepted_at: datetime


class NewReceipt(Struct, frozen=True, gc=False):
    """The answer to one command. `offset` counts the batch's events up to and with its own last one."""

    principal: str
    command_id: str
    hash: str
    state: State
    type: str
    key: str
    version: int
    offset: int
    events: int
    code: str
    message: str
    detail: str
    correlation_id: str
    accepted_at: datetime


class NewParked(Struct, frozen=True, gc=False):
    """A command set aside, as it came; `body` is sealed when it holds personal data of `person`."""

    key: str
    sequence: int
    principal: str
    command_id: str
    type: str
    correlation_id: str
    causation_id: str
    expected_version: int | None
    person: str
    body: str
    accepted_at: datetime
    reason: str


class Batch(Struct):
    """What one append writes. `done` is the place in the command stream by lease; claims map to (before, after)."""

    done: dict[str, int]
    events: list[NewEvent]
    receipts: list[NewReceipt]
    claims: dict[Claim, tuple[str | None, str | None]]
    rows: dict[str, tuple[int, str]]
    parked: list[NewParked]


class Appended(Struct, frozen=True):
    """Where a batch was recorded: its first event has position `base` + 1."""

    base: int
    recorded_at: datetime
    incarnation: str


class LeaseLost(Exception):
    """Another worker holds a lease of the batch by now. Nothing was written."""


class CountMismatch(Exception):
    """The statement would have written another number of rows than was meant, so it wrote nothing.

    A claim that another worker moved in between does this: reload and decide again.
    """


EVENT_TYPES = "text[] bigint[] text[] text[] smallint[] text[] text[] text[] text[] timestamptz[]"
RECEIPT_TYPES = (
    "text[] text[] text[] text[] text[] text[] bigint[] bigint[] int[] text[] text[] text[] text[] timestamptz[]"
)
CLAIM_TYPES = "text[] text[] text[] text[]"
ROW_TYPES = "text[] bigint[] text[]"
PARKED_TYPES = "text[] bigint[] text[] text[] text[] text[] text[] bigint[] text[] text[] timestamptz[] text[]"


async def append(connection: Any, schema: str, epochs: Mapping[str, int], batch: Batch) -> Appended:
    """Writes the batch under the leases in `epochs`, all of which must still be held.

    Raises `LeaseLost`, `CountMismatch`, and Postgres's own errors: of those, class 22, 23 and 54 are a command's fault.
    """
    columns, meant = arguments(epochs, batch)
    sql = statement(schema, bool(batch.claims), bool(batch.rows), bool(batch.parked))
    try:
        row = await connection.fetchrow(sql, len(batch.events), meant, *columns)
    except asyncpg.DivisionByZeroError:
        raise CountMismatch(f"meant {meant} rows of {schema}") from None
    if row is None:
        raise LeaseLost(", ".join(sorted(epochs)))
    return Appended(*row)


def arguments(epochs: Mapping[str, int], batch: Batch) -> tuple[list[Sequence[Any]], list[int]]:
    """The statement's arrays in its order, and the row counts that it must report."""
    names = sorted(epochs)
    columns: list[Sequence[Any]] = [names, [epochs[n] for n in names], [batch.done.get(n, 0) for n in names]]
    columns += transposed(NewEvent, batch.events) + transposed(NewReceipt, batch.receipts)
    meant = [len(names), len(batch.events), len(batch.receipts)]
    if batch.claims:
        moves = [(claim.kind, claim.value, before, after) for claim, (before, after) in batch.claims.items()]
        columns += [list(column) for column in zip(*moves, strict=True)]
        meant.append(len(moves))
    if batch.rows:
        rows = [(stream, version, data) for stream, (version, data) in batch.rows.items()]
        columns += [list(column) for column in zip(*rows, strict=True)]
        meant.append(len(rows))
    if batch.parked:
        columns += transposed(NewParked, batch.parked)
        meant.append(len(batch.parked))
    return columns, meant


def transposed(kind: type[Struct], items: Sequence[Struct]) -> list[Sequence[Any]]:
    return [[getattr(item, name) for item in items] for name in kind.__struct_fields__]


_statements: dict[tuple[str, bool, bool, bool], str] = {}


def statement(schema: str, claims: bool, rows: bool, parked: bool) -> str:
    """The append for batches with these parts; parts that a batch lacks would cost time in every statement."""
    key = (schema, claims, rows, parked)
    if key not in _statements:
        _statements[key] = build_statement(*key)
    return _statements[key]


def build_statement(schema: str, claims: bool, rows: bool, parked: bool) -> str:
    arrays = Arrays(3)
    leases = arrays.unnest("text[] bigint[] bigint[]", "name epoch done")
    events = arrays.unnest(EVENT_TYPES, " ".join(NewEvent.__struct_fields__))
    receipts = arrays.unnest(RECEIPT_TYPES, " ".join(NewReceipt.__struct_fields__))
    parts = [WRITE.format(s=f'"{schema}"', leases=leases, events=events, receipts=receipts)]
    counts = ["moved", "recorded", "answered"]
    if claims:
        parts.append(CLAIMS.format(s=f'"{schema}"', claims=arrays.unnest(CLAIM_TYPES, "kind value before after")))
        counts.append("freed) + (SELECT count(*) FROM passed) + (SELECT count(*) FROM taken")
    if rows:
        parts.append(ROWS.format(s=f'"{schema}"', rows=arrays.unnest(ROW_TYPES, "stream version data")))
        counts.append("kept")
    if parked:
        names = " ".join(NewParked.__struct_fields__)
        parts.append(PARKED.format(s=f'"{schema}"', parked=arrays.unnest(PARKED_TYPES, names)))
        counts.append("set_aside")
    written = ", ".join(f"(SELECT count(*) FROM {count})" for count in counts)
    # Dividing by zero is how a plain statement undoes itself.
    base = f"base / (ARRAY[{written}] = $2::bigint[])::int"
    return f"WITH {', '.join(parts)} SELECT {base}, recorded_at, incarnation FROM head"


class Arrays:
    """Numbers a statement's array parameters as they are used."""

    def __init__(self, first: int) -> None:
        self._next = first

    def unnest(self, types: str, names: str) -> str:
        """`unnest($2::text[], ...) WITH ORDINALITY AS new(name, ..., ord)`."""
        kinds = types.split()
        first, self._next = self._next, self._next + len(kinds)
        parameters = ", ".join(f"${first + i}::{kind}" for i, kind in enumerate(kinds))
        columns = ", ".join(f'"{name}"' for name in names.split())
        return f"unnest({parameters}) WITH ORDINALITY AS new({columns}, ord)"


# The order matters. First the leases are locked, in name order. Then the head moves, only if all of them were found.
# Everything else derives from the head's row: no row, nothing written. A condition `WHERE EXISTS (lease)` on each part
# would be no fence: an append that waited for the head would go on after a takeover had committed.
WRITE = """
held AS MATERIALIZED (
    SELECT lease.name, new.done FROM {s}.leases AS lease
    JOIN {leases} ON lease.name = new.name AND lease.epoch = new.epoch
    ORDER BY lease.name FOR NO KEY UPDATE OF lease
), head AS (
    UPDATE {s}.head SET position = position + $1, recorded_at = greatest(clock_timestamp(), recorded_at)
    WHERE (SELECT count(*) FROM held) = cardinality($3)
    RETURNING position - $1 AS base, recorded_at, incarnation
), moved AS (
    UPDATE {s}.leases AS lease
    SET done = greatest(lease.done, held.done), beat = beat + 1, attempting = NULL, attempts = 0
    FROM head, held WHERE lease.name = held.name RETURNING 1
), recorded AS (
    INSERT INTO {s}.events (position, stream, version, type, data, n, command_id, principal, correlation_id,
        causation_id, accepted_at, recorded_at)
    SELECT base + ord, stream, version, type, data, n, command_id, principal, correlation_id,
        causation_id, accepted_at, recorded_at
    FROM head, {events} RETURNING 1
), answered AS (
    INSERT INTO {s}.receipts (principal, command_id, hash, state, type, key, version, position, events, code, message,
        detail, correlation_id, accepted_at, recorded_at)
    SELECT principal, command_id, hash, state, type, key, version, base + "offset", events, code, message,
        detail, correlation_id, accepted_at, recorded_at
    FROM head, {receipts} RETURNING 1
)"""

# Only net changes come here, each value once, so the parts never touch the same row.
CLAIMS = """claim AS MATERIALIZED (SELECT new.* FROM head, {claims}),
freed AS (
    DELETE FROM {s}.claims AS old USING claim
    WHERE claim.after IS NULL AND (old.kind, old.value, old.stream) = (claim.kind, claim.value, claim.before)
    RETURNING 1
), passed AS (
    UPDATE {s}.claims AS old SET stream = claim.after FROM claim
    WHERE claim.after IS NOT NULL AND (old.kind, old.value, old.stream) = (claim.kind, claim.value, claim.before)
    RETURNING 1
), taken AS (
    INSERT INTO {s}.claims (kind, value, stream)
    SELECT kind, value, after FROM claim WHERE before IS NULL RETURNING 1
)"""

ROWS = """kept AS (
    INSERT INTO {s}.rows (stream, version, data) SELECT stream, version, data FROM head, {rows}
    ON CONFLICT (stream) DO UPDATE SET version = excluded.version, data = excluded.data
    WHERE rows.version < excluded.version RETURNING 1
)"""

PARKED = """set_aside AS (
    INSERT INTO {s}.parked (key, sequence, principal, command_id, type, correlation_id, causation_id, expected_version,
        person, body, accepted_at, reason)
    SELECT key, sequence, principal, command_id, type, correlation_id, causation_id, expected_version,
        person, body, accepted_at, reason
    FROM head, {parked} ORDER BY ord RETURNING 1
)"""


def net_claims(changes: Iterable[tuple[Claim, str | None, str | None]]) -> dict[Claim, tuple[str | None, str | None]]:
    """Folds changes (claim, owner before, owner after) in order to first owner and last; no change is left out."""
    net: dict[Claim, tuple[str | None, str | None]] = {}
    for claim, before, after in changes:
        net[claim] = (net[claim][0] if claim in net else before, after)
    return {claim: owners for claim, owners in net.items() if owners[0] != owners[1]}
