"""The append: one autocommit statement that writes a batch's events, receipts and place, or nothing (protocol P1)."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import asyncpg
from msgspec import Struct

from common.context import Claim
from common.store.append_sql import statement
from common.store.new_rows import NewDeadline, NewEvent, NewParked, NewReceipt


class Batch(Struct):
    """What one append writes. `done` is the place in the command stream by lease; claims map to (before, after).

    Deadlines are by stream and name, so that of several the last one counts.
    """

    done: dict[str, int]
    events: list[NewEvent]
    receipts: list[NewReceipt]
    claims: dict[Claim, tuple[str | None, str | None]]
    rows: dict[str, tuple[int, str]]
    parked: list[NewParked]
    deadlines: dict[tuple[str, str], NewDeadline] = {}


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


async def append(connection: Any, schema: str, epochs: Mapping[str, int], batch: Batch) -> Appended:
    """Writes the batch under the leases in `epochs`, all of which must still be held.

    Raises `LeaseLost`, `CountMismatch`, and Postgres's own errors: of those, class 22, 23 and 54 are a command's fault.
    """
    columns, meant = arguments(epochs, batch)
    sql = statement(schema, bool(batch.claims), bool(batch.rows), bool(batch.parked), bool(batch.deadlines))
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
    if batch.deadlines:
        columns += transposed(NewDeadline, list(batch.deadlines.values()))
        meant.append(sum(each.within is not None for each in batch.deadlines.values()))
    return columns, meant


def transposed(kind: type[Struct], items: Sequence[Struct]) -> list[Sequence[Any]]:
    return [[getattr(item, name) for item in items] for name in kind.__struct_fields__]


def net_claims(changes: Iterable[tuple[Claim, str | None, str | None]]) -> dict[Claim, tuple[str | None, str | None]]:
    """Folds changes (claim, owner before, owner after) in order to first owner and last; no change is left out."""
    net: dict[Claim, tuple[str | None, str | None]] = {}
    for claim, before, after in changes:
        net[claim] = (net[claim][0] if claim in net else before, after)
    return {claim: owners for claim, owners in net.items() if owners[0] != owners[1]}
