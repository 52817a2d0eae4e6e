"""What orders take on the disk: by database and table with its indexes, and on the bus."""

import asyncpg
from msgspec import Struct

from common.config import Settings
from tests.load.processes import folder_bytes

SIZES = """SELECT n.nspname || '.' || c.relname, pg_table_size(c.oid), pg_indexes_size(c.oid), c.reltuples::bigint
    FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
    WHERE c.relkind = 'r' AND n.nspname NOT IN ('pg_catalog', 'information_schema')
    ORDER BY pg_total_relation_size(c.oid) DESC, 1"""


class Kept(Struct, frozen=True):
    """A table: bytes of its rows and of its indexes."""

    table: int
    indexes: int


class Disk(Struct, frozen=True):
    """Bytes: of the databases with all they hold, by table, of the folder of the bus; `per_order` of all together,
    without the write-ahead logs."""

    write: int
    read: int
    bus: int
    per_order: float
    write_tables: dict[str, Kept]
    read_tables: dict[str, Kept]


async def disk_of(settings: Settings, orders: int) -> Disk:
    write, write_tables = await sizes(settings.default_write_dsn)
    read, read_tables = await sizes(settings.read_dsn)
    bus = folder_bytes(settings.data / "nats")
    return Disk(write, read, bus, round((write + read + bus) / orders, 1), write_tables, read_tables)


async def sizes(dsn: str) -> tuple[int, dict[str, Kept]]:
    """The size of a database, and of its tables, those that take most first."""
    connection = await asyncpg.connect(dsn)
    try:
        whole = await connection.fetchval("SELECT pg_database_size(current_database())")
        rows = await connection.fetch(SIZES)
    finally:
        await connection.close()
    return whole, {name: Kept(table, indexes) for name, table, indexes, _ in rows if table + indexes > 64 * 1024}
