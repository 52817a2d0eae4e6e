"""The deadlines of one context that have passed. They are set and ended by the append."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from msgspec import Struct

DUE = (
    "SELECT stream, name, due_at, event_id, correlation_id FROM {s}.deadlines"
    " WHERE due_at <= now() ORDER BY due_at, stream, name LIMIT $1"
)

# Rows that an append holds are left to it: it changes or ends them, and nobody waits for the other in a circle. The
# commit does not wait for the disk: what comes back with a server that fell is asked again, under the same id.
REMOVE = """WITH past AS MATERIALIZED (
    SELECT d.stream, d.name FROM {s}.deadlines AS d
    JOIN unnest($1::text[], $2::text[], $3::timestamptz[]) AS asked(stream, name, due_at)
    ON (d.stream, d.name, d.due_at) = (asked.stream, asked.name, asked.due_at) FOR UPDATE OF d SKIP LOCKED
) DELETE FROM {s}.deadlines AS d USING past WHERE (d.stream, d.name) = (past.stream, past.name)
    RETURNING set_config('synchronous_commit', 'off', true)"""


class Due(Struct, frozen=True, gc=False):
    """A deadline that has passed. `event_id` and `correlation_id` are of the event that set it."""

    stream: str
    name: str
    due_at: datetime
    event_id: str
    correlation_id: str


class DeadlineTable:
    """The deadlines of one context."""

    def __init__(self, pool: Any, context: str) -> None:
        self._pool, self._schema = pool, f'"{context}"'

    async def due(self, limit: int) -> list[Due]:
        """Those that have passed, by the database's clock; the longest past first."""
        return [Due(*row) for row in await self._pool.fetch(DUE.replace("{s}", self._schema), limit)]

    async def remove(self, due: Sequence[Due]) -> None:
        """Removes these, but for those that were set anew since."""
        columns = [each.stream for each in due], [each.name for each in due], [each.due_at for each in due]
        await self._pool.fetch(REMOVE.replace("{s}", self._schema), *columns)
