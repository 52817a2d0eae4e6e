"""The text of the append. What it must do, and in which order, is protocol P1; `append` says when it is asked."""

from common.store.new_rows import NewDeadline, NewEvent, NewParked, NewReceipt

EVENT_TYPES = "text[] bigint[] text[] text[] smallint[] text[] text[] text[] text[] timestamptz[]"
RECEIPT_TYPES = (
    "text[] text[] text[] text[] text[] text[] bigint[] bigint[] int[] text[] text[] text[] text[] timestamptz[]"
)
CLAIM_TYPES = "text[] text[] text[] text[]"
ROW_TYPES = "text[] bigint[] text[]"
PARKED_TYPES = "text[] text[] bigint[] text[] text[] text[] text[] text[] bigint[] text[] text[] timestamptz[] text[]"
DEADLINE_TYPES = "text[] text[] interval[] text[] text[]"


_statements: dict[tuple[str, bool, bool, bool, bool], str] = {}


def statement(schema: str, claims: bool, rows: bool, parked: bool, deadlines: bool) -> str:
    """The append for batches with these parts; parts that a batch lacks would cost time in every statement."""
    key = (schema, claims, rows, parked, deadlines)
    if key not in _statements:
        _statements[key] = build_statement(*key)
    return _statements[key]


def build_statement(schema: str, claims: bool, rows: bool, parked: bool, deadlines: bool) -> str:
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
    if deadlines:
        names = " ".join(NewDeadline.__struct_fields__)
        parts.append(DEADLINES.format(s=f'"{schema}"', deadlines=arrays.unnest(DEADLINE_TYPES, names)))
        counts.append("awaited")
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
    INSERT INTO {s}.parked (key, held_by, sequence, principal, command_id, type, correlation_id, causation_id,
        expected_version, person, body, accepted_at, reason)
    SELECT key, held_by, sequence, principal, command_id, type, correlation_id, causation_id,
        expected_version, person, body, accepted_at, reason
    FROM head, {parked} ORDER BY ord RETURNING 1
)"""

# A deadline that ends may have passed before: then its row is gone, and nothing is counted.
DEADLINES = """deadline AS MATERIALIZED (SELECT new.*, head.recorded_at FROM head, {deadlines}),
ended AS (
    DELETE FROM {s}.deadlines AS old USING deadline
    WHERE deadline.within IS NULL AND (old.stream, old.name) = (deadline.stream, deadline.name)
), awaited AS (
    INSERT INTO {s}.deadlines (stream, name, due_at, event_id, correlation_id)
    SELECT stream, name, recorded_at + within, event_id, correlation_id FROM deadline WHERE within IS NOT NULL
    ON CONFLICT (stream, name) DO UPDATE
    SET due_at = excluded.due_at, event_id = excluded.event_id, correlation_id = excluded.correlation_id RETURNING 1
)"""
