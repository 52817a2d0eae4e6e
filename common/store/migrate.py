"""Brings schemas up to date: plain SQL files in order, each once, safe when several processes start together."""

from collections.abc import Iterable
from importlib.resources import files
from typing import Any

import asyncpg

from common.config import Settings

LOCK = 0x0DA7B00C
KEYS_SCHEMA = "keys"


class MigrationError(Exception):
    """A schema cannot be brought up to date; the message is one clear line."""


async def migrate(settings: Settings, contexts: Iterable[str]) -> list[str]:
    """Every context's schema and the keys. Returns what was applied. Raises `MigrationError` or connection errors."""
    applied: list[str] = []
    for context in contexts:
        applied += await migrate_schema(settings.write_dsn(context), "context", context)
    return applied + await migrate_schema(settings.keys_dsn(), "keys", KEYS_SCHEMA)


async def migrate_schema(dsn: str, kind: str, schema: str) -> list[str]:
    """One schema, in one transaction under a lock that all migrations of the database share."""
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            return await apply_missing(connection, kind, schema)
    except asyncpg.InsufficientPrivilegeError as error:
        raise MigrationError(
            f"the database login lacks a right that setting up schema {schema!r} needs: {error}"
        ) from None
    finally:
        await connection.close(timeout=5)


async def apply_missing(connection: Any, kind: str, schema: str) -> list[str]:
    await connection.execute(
        "CREATE TABLE IF NOT EXISTS public.daybook_migrations"
        " (schema text, file text, applied_at timestamptz DEFAULT clock_timestamp(), PRIMARY KEY (schema, file))"
    )
    rows = await connection.fetch("SELECT schema, file FROM public.daybook_migrations")
    known = {(row["schema"], row["file"]) for row in rows}
    missing = [
        (place, name, text)
        for place, folder in (("public", "cluster"), (schema, kind))
        for name, text in scripts(folder)
        if (place, name) not in known
    ]
    for place, name, text in missing:
        await connection.execute(text.replace("{schema}", f'"{schema}"'))
        await connection.execute("INSERT INTO public.daybook_migrations (schema, file) VALUES ($1, $2)", place, name)
    return [f"{place}/{name}" for place, name, _ in missing]


def scripts(folder: str) -> list[tuple[str, str]]:
    """The SQL files of a folder by name, which is their order."""
    found = [
        entry for entry in (files("common.store") / "migrations" / folder).iterdir() if entry.name.endswith(".sql")
    ]
    return sorted((entry.name, entry.read_text("utf-8")) for entry in found)
