"""The schema that read models live in: roles, checkpoints and tables, made as far as they are missing.

A table of an older version of its model stays until a new one is built beside it (`swap`), and is fitted so far that
the code of now can read it; one of a newer version is left alone.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg
import msgspec

from common.readmodel import ReadModel, building
from common.store.checkpoints import CHECKPOINTS, begin_model, read_checkpoints
from common.store.migrate import scripts
from common.store.read_tables import Column, Table

LOCK = 0x0DA7B00D
ROLES = ("daybook_owner", "daybook_writer", "daybook_reader")


class TableDiffers(Exception):
    """A table there does not fit its model, and nothing that we may do by ourselves makes it fit."""


async def create_tables(dsn: str, models: Iterable[ReadModel], schema: str = "read") -> None:
    """Roles, schema, checkpoints and tables, as far as they are missing; safe when several processes do it at once.

    Raises `TableDiffers`, and connection errors when the database is away.
    """
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            if await connection.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = ANY($1)", ROLES) < len(ROLES):
                for _, text in scripts("cluster"):
                    await connection.execute(text)
            await connection.execute("SET LOCAL ROLE daybook_owner")
            await create_in(connection, [Table(model, schema) for model in models], schema)
    finally:
        await connection.close(timeout=5)


async def create_in(connection: Any, tables: Sequence[Table], schema: str) -> None:
    if any("gin_trgm_ops" in index for table in tables for index in table.model.indexes):
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public")
    await connection.execute(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')
    await connection.execute(CHECKPOINTS.format(s=f'"{schema}"'))
    if "version" not in await columns_of(connection, f'"{schema}".checkpoints'):
        await connection.execute(f'ALTER TABLE "{schema}".checkpoints ADD COLUMN version bigint NOT NULL DEFAULT 1')
    await connection.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO daybook_writer, daybook_reader')
    await grant(connection, f'"{schema}".checkpoints')
    for table in tables:
        await make(connection, table)


async def grant(connection: Any, table: str) -> None:
    await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {table} TO daybook_writer")
    await connection.execute(f"GRANT SELECT ON {table} TO daybook_reader")


async def make(connection: Any, table: Table) -> None:
    """Makes a model's table; or sees to it that the one there serves, and that its next one is begun beside it."""
    model, schema = table.model, table.schema
    places = await read_checkpoints(connection, model.name, schema)
    versions = {each.version for each in places.values()}
    if not places or not await columns_of(connection, table.name):
        await make_empty(connection, table)  # Rows say nothing without their place, nor does a place without its rows.
    elif versions == {model.version}:
        await require_same(connection, table)
        await fit_indexes(connection, table)
    elif max(versions) < model.version:
        await fit(connection, table, max(versions))
        await begin_building(connection, model, schema)
    await fit_building(connection, Table(building(model), schema))


async def fit_indexes(connection: Any, table: Table) -> None:
    """Makes the indexes that are missing, and drops those that the model no longer names."""
    rows = await connection.fetch(
        """SELECT relname FROM pg_index JOIN pg_class ON oid = indexrelid
        WHERE indrelid = to_regclass($1) AND NOT indisprimary""",
        table.name,
    )
    for name in {name for (name,) in rows} - dict(table.indexes).keys():
        await connection.execute(f'DROP INDEX "{table.schema}"."{name}"')
    for statement in table.ddl():
        await connection.execute(statement)


async def make_empty(connection: Any, table: Table) -> None:
    """Makes the table as if there had never been one, with checkpoints at 0."""
    await drop(connection, table.model.name, table.schema)
    for statement in table.ddl():
        await connection.execute(statement)
    await grant(connection, table.name)
    await begin_model(connection, table.model, table.schema)


async def drop(connection: Any, name: str, schema: str) -> None:
    """Drops a model's table with its checkpoints."""
    await connection.execute(f'DROP TABLE IF EXISTS "{schema}"."{name}"')
    await connection.execute(f'DELETE FROM "{schema}".checkpoints WHERE model = $1', name)


async def begin_building(connection: Any, model: ReadModel, schema: str) -> None:
    """Begins the table of this version, or lets it go on as it is. What older versions have begun is dropped."""
    await drop_begun(connection, model, schema, model.version - 1)
    table = Table(building(model), schema)
    if not await read_checkpoints(connection, table.model.name, schema):
        await make_empty(connection, table)


async def fit_building(connection: Any, table: Table) -> None:
    """Gives a table that is being built the indexes that its model names now; begins one anew that does not fit."""
    if not await read_checkpoints(connection, table.model.name, table.schema):
        return
    if await differences(connection, table):
        await make_empty(connection, table)
    else:
        await fit_indexes(connection, table)


async def drop_begun(connection: Any, model: ReadModel, schema: str, last: int) -> None:
    """Drops the tables that versions up to the last have begun to build and not finished."""
    begun = await connection.fetch(
        f"""SELECT DISTINCT model FROM "{schema}".checkpoints
        WHERE starts_with(model, $1) AND substr(model, length($1) + 1) ~ '^[0-9]+$'""",
        f"{model.name}__",
    )
    for (name,) in begun:
        if int(name.removeprefix(f"{model.name}__")) <= last:
            await drop(connection, name, schema)


class Found(msgspec.Struct, frozen=True):
    """A column as it is in the database. One that was added, to serve newer code for a while, has a comment."""

    type: str
    not_null: bool
    added: bool


async def columns_of(connection: Any, table: str) -> dict[str, Found]:
    """The columns of a table by name; none when there is no such table."""
    rows = await connection.fetch(
        """SELECT attname, format_type(atttypid, atttypmod), attnotnull, col_description(attrelid, attnum) IS NOT NULL
        FROM pg_attribute
        WHERE attrelid = to_regclass($1) AND attnum > 0 AND NOT attisdropped""",
        table,
    )
    return {name: Found(LONG_NAMES.get(kind, kind), *rest) for name, kind, *rest in rows}


LONG_NAMES = {"timestamp with time zone": "timestamptz"}


async def differences(connection: Any, table: Table) -> list[str]:
    """In what the table is another than its model declares. What newer code has added serves that, and is no harm."""
    wanted = {each.name: each.type for each in table.columns}
    there = await columns_of(connection, table.name)
    found = {name: each.type for name, each in there.items() if name in wanted or not each.added}
    names = [name for name in {**wanted, **found} if wanted.get(name) != found.get(name)]
    said = [f"{name} is {found.get(name, 'not there')}, not {wanted.get(name, 'there')}" for name in names]
    key = await key_of(connection, table)
    return said if set(key) == set(table.model.key) else [*said, f"its key is {', '.join(key)}"]


async def key_of(connection: Any, table: Table) -> list[str]:
    rows = await connection.fetch(
        """SELECT attname FROM pg_index JOIN pg_attribute ON attrelid = indrelid AND attnum = ANY(indkey)
        WHERE indrelid = to_regclass($1) AND indisprimary""",
        table.name,
    )
    return [name for (name,) in rows]


async def require_same(connection: Any, table: Table) -> None:
    """Raises `TableDiffers` when the table of this version is not as the model declares it."""
    if said := await differences(connection, table):
        raise TableDiffers(
            f"the table {table.name} has the version of its model, {table.model.version}, and differs from it"
            f" ({'; '.join(said)}): count `version` of the model up, then it is built anew beside this one"
        )


async def fit(connection: Any, table: Table, version: int) -> None:
    """Lets this version's code read the table of an older one: with the columns that it lacks, at their defaults.

    Raises `TableDiffers` when no default makes it readable.
    """
    found = await columns_of(connection, table.name)
    for each in table.columns:
        there = found.get(each.name)
        if there and there.type == each.type and (there.not_null or not each.not_null):
            continue
        if there and not there.added:
            was = there.type if there.type != each.type else "nullable"
            raise differs(table, version, f"{each.name} was {was}: give what it holds now another name")
        await add(connection, table, each, version)
    if found and set(key := await key_of(connection, table)) != set(table.model.key):
        raise differs(table, version, f"its key was {', '.join(key)}: give the model another name")


async def add(connection: Any, table: Table, new: Column, version: int) -> None:
    default = table.default(new.name)
    if default is msgspec.NODEFAULT:
        raise differs(table, version, f"{new.name} is new: give it a default, to be read until the table is built")
    literal = await connection.fetchval(f"SELECT quote_nullable($1::{new.type}::text)", default)
    await connection.execute(f'ALTER TABLE {table.name} DROP COLUMN IF EXISTS "{new.name}"')
    kind = f"{new.type}{' NOT NULL' if new.not_null else ''}"
    await connection.execute(f'ALTER TABLE {table.name} ADD COLUMN "{new.name}" {kind} DEFAULT {literal}')
    await connection.execute(f"""COMMENT ON COLUMN {table.name}."{new.name}" IS 'for code of newer versions to read'""")


def differs(table: Table, version: int, why: str) -> TableDiffers:
    return TableDiffers(
        f"version {table.model.version} of {table.model.name} cannot read the table of version {version},"
        f" which serves until its own is built: {why}"
    )
