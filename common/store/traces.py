"""Finding commands with their events: by the stream they were about, and by the wish that they go back to."""

from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from common.recorded import Receipt, Recorded
from common.store.reader import EVENT_COLUMNS, RECEIPT_COLUMNS, EventReader, receipt, recorded

# Of a stream the last, of what one wish led to the first; `nth` counts in each part. The last part finds the wish
# itself: whose it was is not known, so the index is searched once for each principal there is (Postgres 18 skips on).
FOUND = f"""WITH found AS (
    (SELECT row_number() OVER (ORDER BY version DESC) AS nth, principal, command_id FROM {{s}}.events
        WHERE stream = $1 ORDER BY version DESC LIMIT $3)
    UNION ALL (SELECT row_number() OVER (ORDER BY position DESC), principal, command_id FROM {{s}}.receipts
        WHERE key = $1 AND events = 0 ORDER BY position DESC LIMIT $3)
    UNION ALL (SELECT row_number() OVER (ORDER BY position), principal, command_id FROM {{s}}.receipts
        WHERE correlation_id = ANY($2::text[]) AND correlation_id <> command_id ORDER BY position LIMIT $3)
    UNION ALL (SELECT row_number() OVER (), principal, command_id FROM {{s}}.receipts
        WHERE command_id = ANY($2::text[]) AND correlation_id = command_id LIMIT $3)
) SELECT nth, {RECEIPT_COLUMNS} FROM found JOIN {{s}}.receipts USING (principal, command_id) ORDER BY position"""
EVENTS = f"""SELECT (SELECT incarnation FROM {{s}}.head), {EVENT_COLUMNS} FROM {{s}}.events
    WHERE position = ANY($1::bigint[]) ORDER BY position"""


class Traced(Struct, frozen=True):
    """Receipts with their events. `cut` when one of the ways to find them led to more."""

    receipts: list[Receipt]
    events: list[Recorded]
    cut: bool


async def find(reader: EventReader, stream: str | None, correlations: Sequence[str], most: int) -> Traced:
    """The commands that recorded to the stream, by its last events; those that recorded nothing about it; and those
    that have, or are, one of the correlations: at most so many of each."""
    found = await reader.fetch(FOUND, stream, list(correlations), most + 1)
    shown = [row for row in found if row["nth"] <= most]
    receipts = {(row["principal"], row["command_id"]): receipt(reader.context, plain(row)) for row in shown}
    rows = await reader.fetch(EVENTS, places(receipts.values())) if receipts else []
    events = [recorded(reader.context, row) for row in rows]
    return Traced(list(receipts.values()), events, len(shown) < len(found))


def plain(row: Any) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name != "nth"}


def places(receipts: Iterable[Receipt]) -> list[int]:
    """The positions of their events: those of one command follow each other, and its receipt names the last."""
    return [place for each in receipts for place in range(each.position - each.events + 1, each.position + 1)]
