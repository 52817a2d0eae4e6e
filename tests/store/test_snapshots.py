"""The age of the oldest snapshot: seen by the reader's role, unknown without the right to see it (protocol P8)."""

import asyncpg
from msgspec import Struct

from common.config import Settings
from common.store import reader as store_reader
from common.store.migrate import migrate_schema, scripts
from common.store.pool import open_pool
from common.store.reader import EventReader
from tests.servers import until


class Nowhere(Struct):
    """A database that lets nobody look."""

    async def fetchrow(self, sql: str) -> tuple[None]:
        return (None,)


async def test_an_old_snapshot_is_seen_until_it_ends(settings: Settings) -> None:
    dsn = settings.write_dsn("snapshots")
    await migrate_schema(dsn, "context", "snapshots")
    pool, other = await open_pool(dsn, "reader", 1), await asyncpg.connect(dsn)
    reader = EventReader(pool, "snapshots")

    async def age() -> float:
        reader._snapshot_asked = -store_reader.SNAPSHOT_EVERY_S
        found = await reader.oldest_snapshot_ms()
        assert found is not None
        return found

    try:
        transaction = other.transaction(isolation="repeatable_read")
        await transaction.start()
        began = await other.fetchval("SELECT clock_timestamp()")

        async def old() -> bool:
            return await age() > 300

        await until(old, within=10)
        assert await age() <= ((await other.fetchval("SELECT clock_timestamp()")) - began).total_seconds() * 1000 + 50
        await transaction.rollback()

        async def gone() -> bool:
            return await age() < 300

        await until(gone, within=10)
    finally:
        await other.close()
        await pool.close()


async def test_without_the_right_to_see_others_it_is_unknown(settings: Settings) -> None:
    dsn = settings.write_dsn("snapshots")
    await migrate_schema(dsn, "context", "snapshots")
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("SET ROLE daybook_writer")
        row = await connection.fetchrow(store_reader.OLDEST_SNAPSHOT)
        assert row is not None and row[0] is None
    finally:
        await connection.close()
    assert await EventReader(Nowhere(), "snapshots").oldest_snapshot_ms() is None


async def test_a_login_that_may_not_grant_it_does_without(settings: Settings) -> None:
    """As with a hosted Postgres, where the login is no superuser."""
    text = dict(scripts("cluster"))["002_statistics.sql"]
    connection = await asyncpg.connect(settings.write_dsn("snapshots"))
    try:
        await connection.execute("CREATE ROLE modest")
        await connection.execute("SET ROLE modest")
        await connection.execute(text)
    finally:
        await connection.execute("RESET ROLE")
        await connection.execute("DROP ROLE modest")
        await connection.close()
