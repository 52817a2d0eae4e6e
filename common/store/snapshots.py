"""Snapshots: the state of a long stream after one of its events, kept beside the record and never needed."""

from datetime import datetime
from typing import Any

from msgspec import Struct

# One that is not of this incarnation, or whose event is not there as it was then, is of a record that was lost in a
# restore: it is as if it were not there.
BELIEVED = """{s}.snapshots AS s WHERE s.shape = {shape} AND s.incarnation = (SELECT incarnation FROM {s}.head)
    AND s.recorded_at = (
        SELECT l.recorded_at FROM {s}.events AS l WHERE l.stream = s.stream AND l.version = s.version)"""

FROZEN = "SELECT 'snapshot', s.stream, '', s.version, s.data FROM {believed} AND s.stream = ANY($3::text[])"
# The offsets keep the order of asking: stream by stream, of the events those alone that come after the snapshot.
LATER = """SELECT 'event', wanted.stream, e.type, e.version, e.data FROM unnest($3::text[]) AS wanted(stream),
    LATERAL (SELECT coalesce((SELECT s.version FROM {believed} AND s.stream = wanted.stream), 0) AS version
        OFFSET 0) AS known,
    LATERAL (SELECT type, version, data FROM {s}.events AS e
        WHERE e.stream = wanted.stream AND e.version > known.version OFFSET 0) AS e"""

KEEP = """INSERT INTO {s}.snapshots AS kept (stream, version, shape, incarnation, recorded_at, data)
    VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT (stream) DO UPDATE
    SET version = excluded.version, shape = excluded.shape, incarnation = excluded.incarnation,
        recorded_at = excluded.recorded_at, data = excluded.data
    WHERE kept.version < excluded.version OR kept.incarnation <> excluded.incarnation"""


class NewSnapshot(Struct, frozen=True, gc=False):
    """A snapshot about to be kept: of a stream after the event of this version, which was recorded then."""

    stream: str
    version: int
    shape: int
    incarnation: str
    recorded_at: datetime
    data: str


def with_snapshots(shape: int) -> str:
    """The part of a load that gives, of the streams $3, the believed snapshots and the events after them."""
    believed = BELIEVED.replace("{shape}", str(shape))
    return " UNION ALL ".join(part.replace("{believed}", believed) for part in (FROZEN, LATER))


async def keep(connection: Any, schema: str, new: NewSnapshot) -> None:
    """Puts it in place of an older one. A newer one stays."""
    values = [getattr(new, name) for name in NewSnapshot.__struct_fields__]
    await connection.execute(KEEP.replace("{s}", f'"{schema}"'), *values)
