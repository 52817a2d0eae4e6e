"""Finding commands with their events: by the stream they were about, and by the wish that they go back to."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from common.recorded import Receipt, Recorded
from common.store.reader import EVENT_COLUMNS, RECEIPT_COLUMNS, EventReader, receipt, recorded

# Of a stream the latest, of what one wish led to the first. The last part finds the wish itself: whose it was is not
# known, so the index is searched once for each principal there is (Postgres 18 skips from one to the next).
FOUND = f"""WITH found AS (
    (SELECT DISTINCT 1 AS way, principal, command_id FROM (
        SELECT principal, command_id FROM {{s}}.events WHERE stream = $1 ORDER BY version DESC LIMIT $3) AS latest)
    UNION ALL (SELECT 2, principal, command_id FROM {{s}}.receipts
        WHERE key = $1 AND events = 0 ORDER BY position DESC LIMIT $3)
    UNION ALL (SELECT 3, principal, command_id FROM {{s}}.receipts
        WHERE correlation_id = ANY($2::text[]) AND correlation_id <> command_id ORDER BY position LIMIT $3)
    UNION ALL (SELECT 4, principal, command_id FROM {{s}}.receipts
        WHERE command_id = ANY($2::text[]) AND correlation_id = command_id LIMIT $3)
) SELECT way, {RECEIPT_COLUMNS} FROM found JOIN {{s}}.receipts USING (principal, command_id)
ORDER BY way, position, recorded_at"""
EVENTS = f"""SELECT (SELECT incarnation FROM {{s}}.head), {EVENT_COLUMNS} FROM {{s}}.events
    WHERE position = ANY($1::bigint[]) ORDER BY position"""


class Traced(Struct, frozen=True):
    """Receipts with their events. `cut` when there were more than so many in one of the ways to find them."""

    receipts: list[Receipt]
    events: list[Recorded]
    cut: bool


async def find(reader: EventReader, stream: str | None, correlations: Sequence[str], most: int) -> Traced:
    """What recorded to the stream, was refused there, has or is one of the correlations; at most so many of each."""
    found = await reader.fetch(FOUND, stream, list(correlations), most)
    receipts = {(row["principal"], row["command_id"]): receipt(reader.context, without_way(row)) for row in found}
    rows = await reader.fetch(EVENTS, places(receipts.values())) if receipts else []
    ways = [row["way"] for row in found]
    cut = any(ways.count(way) >= most for way in set(ways))
    return Traced(list(receipts.values()), [recorded(reader.context, row) for row in rows], cut)


def without_way(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "way"}


def places(receipts: Iterable[Receipt]) -> list[int]:
    """The positions of their events: those of one command follow each other, and its receipt names the last."""
    return [place for each in receipts for place in range(each.position - each.events + 1, each.position + 1)]
