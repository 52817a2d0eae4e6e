"""Schemas are set up once, in order, by however many processes start together."""

import asyncio

import asyncpg
import pytest

from common.config import Settings
from common.store.migrate import MigrationError, migrate_schema, scripts
from common.store.pool import open_pool


async def test_processes_that_start_together_apply_each_file_once(settings: Settings) -> None:
    dsn = settings.write_dsn("together")
    applied = await asyncio.gather(*(migrate_schema(dsn, "context", "together") for _ in range(6)))
    files = [file for files in applied for file in files if file.startswith("together/")]
    assert sorted(files) == [f"together/{name}" for name, _ in scripts("context")]
    assert await migrate_schema(dsn, "context", "together") == []


async def test_a_login_without_the_right_is_told_so_in_one_line(settings: Settings) -> None:
    dsn = settings.write_dsn("poor")
    await migrate_schema(dsn, "context", "rich")
    owner = await asyncpg.connect(dsn)
    await owner.execute("CREATE ROLE poor LOGIN PASSWORD 'poor'")
    try:
        with pytest.raises(MigrationError, match="lacks a right"):
            await migrate_schema(dsn.split("?")[0].replace("daybook@", "poor:poor@"), "context", "poor")
    finally:
        await owner.execute("DROP ROLE poor")
        await owner.close()


async def test_each_role_does_no_more_than_its_part(settings: Settings) -> None:
    dsn = settings.write_dsn("parts")
    await migrate_schema(dsn, "context", "parts")
    reader = await open_pool(dsn, "reader", 1)
    try:
        assert await reader.fetchval("SELECT count(*) FROM parts.events") == 0
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await reader.execute("INSERT INTO parts.claims VALUES ('k', 'v', 's')")
    finally:
        await reader.close()
