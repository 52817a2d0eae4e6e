"""Lease rows: who may append for which partition (protocol P2)."""

from collections.abc import Iterable, Mapping
from typing import Any

from msgspec import Struct


class Lease(Struct, frozen=True):
    """A lease as it stands in the store. `done` is the last sequence settled under it, of the stream `source`."""

    name: str
    owner: str | None
    epoch: int
    beat: int
    done: int
    source: str
    clean: bool
    attempting: int | None
    attempts: int


COLUMNS = "name, owner, epoch, beat, done, source, clean, attempting, attempts"

LOCKED = """WITH held AS MATERIALIZED (
    SELECT lease.name FROM {s}.leases AS lease JOIN unnest($1::text[], $2::bigint[]) AS mine(name, epoch)
    ON lease.name = mine.name AND lease.epoch = mine.epoch ORDER BY lease.name FOR NO KEY UPDATE OF lease
)"""

RENEW = LOCKED + " UPDATE {s}.leases AS l SET beat = beat + 1 FROM held WHERE l.name = held.name RETURNING l.name"

RELEASE = (
    LOCKED
    + """ UPDATE {s}.leases AS l SET owner = NULL, clean = $3, beat = beat + 1, epoch = epoch + 1
    FROM held WHERE l.name = held.name RETURNING l.name"""
)

ATTEMPT = (
    LOCKED
    + """ UPDATE {s}.leases AS l SET attempting = $3, beat = beat + 1,
    attempts = CASE WHEN attempting = $3 THEN attempts + 1 ELSE 1 END
    FROM held WHERE l.name = held.name RETURNING l.attempts"""
)

REWIND = (
    LOCKED
    + """ UPDATE {s}.leases AS l SET done = 0, source = $3, beat = beat + 1, attempting = NULL, attempts = 0
    FROM held WHERE l.name = held.name RETURNING l.name"""
)

TAKE = """WITH free AS MATERIALIZED (
    SELECT lease.name, lease.clean FROM {s}.leases AS lease JOIN unnest($1::text[], $2::bigint[], $3::bigint[])
    AS seen(name, epoch, beat) ON (lease.name, lease.epoch, lease.beat) = (seen.name, seen.epoch, seen.beat)
    ORDER BY lease.name FOR NO KEY UPDATE OF lease
) UPDATE {s}.leases AS l SET owner = $4, epoch = epoch + 1, beat = beat + 1, clean = false
    FROM free WHERE l.name = free.name
    RETURNING l.name, l.owner, l.epoch, l.beat, l.done, l.source, free.clean, l.attempting, l.attempts"""


class LeaseTable:
    """The lease rows of one context. All statements lock in name order, as the append does, so none deadlocks."""

    def __init__(self, pool: Any, context: str) -> None:
        self._pool = pool
        self._schema = f'"{context}"'

    def _sql(self, text: str) -> str:
        return text.replace("{s}", self._schema)

    async def ensure(self, names: Iterable[str]) -> None:
        """Makes the rows that are not there yet."""
        await self._pool.execute(
            self._sql("INSERT INTO {s}.leases (name) SELECT unnest($1::text[]) ON CONFLICT DO NOTHING"), list(names)
        )

    async def all(self) -> list[Lease]:
        return [
            Lease(*row)
            for row in await self._pool.fetch(self._sql(f"SELECT {COLUMNS} FROM {{s}}.leases ORDER BY name"))
        ]

    async def renew(self, epochs: Mapping[str, int]) -> set[str]:
        """Shows that the owner lives. Returns the names that are still held."""
        rows = await self._pool.fetch(self._sql(RENEW), list(epochs), list(epochs.values()))
        return {row[0] for row in rows}

    async def take(self, owner: str, seen: Iterable[Lease]) -> list[Lease]:
        """Takes over the leases that have not moved since they were seen; returns those, with their new epochs.

        `clean` tells whether the owner before had released it.
        """
        leases = list(seen)
        rows = await self._pool.fetch(
            self._sql(TAKE), [x.name for x in leases], [x.epoch for x in leases], [x.beat for x in leases], owner
        )
        return [Lease(*row) for row in rows]

    async def release(self, epochs: Mapping[str, int], *, clean: bool = True) -> None:
        """Gives leases back, so that a successor need not wait; `clean` unless a command may have brought us down."""
        await self._pool.execute(self._sql(RELEASE), list(epochs), list(epochs.values()), clean)

    async def rewind(self, epochs: Mapping[str, int], source: str) -> set[str]:
        """Begins with a command stream that is not the one before. Returns the names that are still held."""
        rows = await self._pool.fetch(self._sql(REWIND), list(epochs), list(epochs.values()), source)
        return {row[0] for row in rows}

    async def attempt(self, name: str, epoch: int, sequence: int) -> int:
        """Notes that this command is about to be decided; returns how often it has been. 0 when the lease is lost."""
        return await self._pool.fetchval(self._sql(ATTEMPT), [name], [epoch], sequence) or 0
