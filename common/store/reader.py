"""Reading a context's record: by position, by stream, by receipt; always in short transactions (protocol P8)."""

from collections.abc import Collection, Sequence
from datetime import datetime
from time import monotonic
from typing import Any

import msgspec
from msgspec import Raw, Struct

from common.recorded import Receipt, Recorded


class Head(Struct, frozen=True):
    """Where the record ends."""

    position: int
    incarnation: str
    at: datetime | None


class Lag(Struct, frozen=True):
    """How far a reader is behind: events, and milliseconds since the oldest of them was recorded (0 when none).

    `ms` is None when nobody knows: the database's clock has gone back behind what it has recorded.
    """

    events: int
    ms: float | None


class BriefEvent(Struct, frozen=True, gc=False):
    """What a fold needs of an event."""

    version: int
    recorded_at: datetime
    type: str
    data: str


EVENT_COLUMNS = (
    "position, stream, version, type, data, n, command_id, principal, correlation_id, causation_id,"
    " accepted_at, recorded_at"
)
BRIEF = (
    "SELECT version, recorded_at, type, data FROM {s}.events"
    " WHERE stream = $1 AND version > $2 ORDER BY version LIMIT $3"
)


SNAPSHOT_EVERY_S = 1.0
OLDEST_SNAPSHOT = """SELECT CASE WHEN pg_has_role(current_user, 'pg_read_all_stats', 'USAGE') THEN (
    SELECT coalesce(max(extract(epoch FROM clock_timestamp() - xact_start)) * 1000, 0)::float8 FROM pg_stat_activity
    WHERE backend_xmin IS NOT NULL AND datname = current_database() AND pid <> pg_backend_pid()) END"""


class EventReader:
    """The SELECT-only door out of one context's store."""

    def __init__(self, pool: Any, context: str) -> None:
        self._pool = pool
        self.context = context
        self._schema = f'"{context}"'
        self._snapshot: float | None = None
        self._snapshot_asked = -SNAPSHOT_EVERY_S

    async def head(self) -> Head:
        row = await self._pool.fetchrow(
            f"SELECT position, incarnation, nullif(recorded_at, '-infinity') FROM {self._schema}.head"
        )
        return Head(*row)

    async def now(self) -> datetime:
        """What time it is there."""
        row = await self._pool.fetchrow("SELECT clock_timestamp()")
        found: datetime = row[0]
        return found

    async def oldest_snapshot_ms(self) -> float | None:
        """The age of the oldest snapshot that this database holds open for somebody, asked once a second at most.

        0 when there is none; None for who may not see what others do. An old one makes appends slow (protocol P8).
        """
        if monotonic() - self._snapshot_asked >= SNAPSHOT_EVERY_S:
            self._snapshot_asked = monotonic()
            row = await self._pool.fetchrow(OLDEST_SNAPSHOT)
            self._snapshot = row[0] if row else None
        return self._snapshot

    async def page(self, after: int, limit: int) -> list[Recorded]:
        """Events after a position, in position order and without a gap."""
        return await self._events("position > $1 ORDER BY position LIMIT $2", after, limit)

    async def stream(self, stream: str, after_version: int, limit: int) -> list[Recorded]:
        """One stream's events after a version, in order."""
        return await self._events(
            "stream = $1 AND version > $2 ORDER BY version LIMIT $3", stream, after_version, limit
        )

    async def streams(self, streams: Collection[str], up_to: int) -> list[Recorded]:
        """All events of these streams up to a position, in position order."""
        return await self._events("stream = ANY($1) AND position <= $2 ORDER BY position", list(streams), up_to)

    async def brief(self, stream: str, after_version: int, limit: int) -> list[BriefEvent]:
        """As `stream`, without what a fold does not need."""
        rows = await self.fetch(BRIEF, stream, after_version, limit)
        return [BriefEvent(*row) for row in rows]

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        """Rows of one short question; `{s}` in it stands for the context's schema."""
        rows: list[Any] = await self._pool.fetch(sql.replace("{s}", self._schema), *values)
        return rows

    async def _events(self, condition: str, *values: Any) -> list[Recorded]:
        rows = await self._pool.fetch(
            f"SELECT (SELECT incarnation FROM {self._schema}.head), {EVENT_COLUMNS}"
            f" FROM {self._schema}.events WHERE {condition}",
            *values,
        )
        return [recorded(self.context, row) for row in rows]

    async def receipts(self, principal: str, ids: Sequence[str]) -> dict[str, Receipt]:
        """The receipts that exist among the ids, by id."""
        rows = await self._pool.fetch(
            f"SELECT {RECEIPT_COLUMNS}, (SELECT incarnation FROM {self._schema}.head)"
            f" FROM {self._schema}.receipts WHERE principal = $1 AND command_id = ANY($2)",
            principal,
            list(ids),
        )
        return {row["command_id"]: receipt(self.context, row) for row in rows}

    async def lag(self, positions: Sequence[int]) -> list[Lag]:
        """The lag behind each position, by this database's clock alone (protocol P11)."""
        rows = await self._pool.fetch(
            f"""SELECT greatest(head.position - seen.position, 0), CASE WHEN head.position <= seen.position THEN 0
                WHEN next.recorded_at < now THEN (extract(epoch FROM now - next.recorded_at) * 1000)::float8 END
            FROM {self._schema}.head, clock_timestamp() AS now,
                unnest($1::bigint[]) WITH ORDINALITY AS seen(position, ord)
            LEFT JOIN {self._schema}.events AS next ON next.position = seen.position + 1 ORDER BY ord""",
            list(positions),
        )
        return [Lag(*row) for row in rows]


RECEIPT_COLUMNS = (
    "principal, command_id, hash, state, type, key, version, position, events, code, message, detail,"
    " correlation_id, accepted_at, recorded_at"
)


def receipt(context: str, row: Any) -> Receipt:
    """A receipt from its row of RECEIPT_COLUMNS."""
    fields = dict(row)
    fields["detail"] = msgspec.json.decode(row["detail"])
    return Receipt(context=context, **fields)


def recorded(context: str, row: Any) -> Recorded:
    """An event from its row of the incarnation and EVENT_COLUMNS."""
    fields = dict(row)
    fields["data"] = Raw(row["data"])
    return Recorded(context=context, **fields)
