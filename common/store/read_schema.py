"""The schema that read models live in: roles, checkpoints and tables, made as far as they are missing."""

from collections.abc import Iterable, Sequence
from typing import Any

import asyncpg

from common.readmodel import Follows, ReadModel
from common.store.migrate import scripts
from common.store.read_tables import Checkpoint, Table

LOCK = 0x0DA7B00D
ROLES = ("daybook_owner", "daybook_writer", "daybook_reader")


class TableDiffers(Exception):
    """A table there has other columns than its model declares: it asks for a rebuild."""


CHECKPOINTS = """CREATE TABLE IF NOT EXISTS {s}.checkpoints (
    model text, context text, generation bigint NOT NULL DEFAULT 0, incarnation text NOT NULL DEFAULT '',
    position bigint NOT NULL DEFAULT 0, stream_seq bigint NOT NULL DEFAULT 0, PRIMARY KEY (model, context)
) WITH (fillfactor = 10)"""


async def load_checkpoints(connection: Any, model: Follows, schema: str = "read") -> dict[str, Checkpoint]:
    """A model's checkpoints by context; those that do not exist yet are made."""
    await connection.execute(
        f'INSERT INTO "{schema}".checkpoints (model, context) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING',
        model.name,
        sorted(model.follows),
    )
    return await read_checkpoints(connection, model.name, schema)


async def read_checkpoints(connection: Any, model: str, schema: str = "read") -> dict[str, Checkpoint]:
    """A model's checkpoints by context. A query reads them before its rows: those are then at least as new."""
    rows = await connection.fetch(
        f'SELECT context, position, incarnation, stream_seq, generation FROM "{schema}".checkpoints WHERE model = $1',
        model,
    )
    return {context: Checkpoint(*rest) for context, *rest in rows}


async def move_checkpoint(
    connection: Any, model: str, context: str, before: Checkpoint, after: Checkpoint, schema: str
) -> bool:
    """Moves a checkpoint that goes with no rows. False when somebody else has moved it since `before` was read.

    Its commit does not wait for the disk: a checkpoint that is lost with the server is behind, never ahead.
    """
    moved = await connection.fetchval(
        f"""UPDATE "{schema}".checkpoints SET position = $4, incarnation = $5, stream_seq = $6
        WHERE model = $1 AND context = $2 AND position = $3 RETURNING set_config('synchronous_commit', 'off', true)""",
        model,
        context,
        before.position,
        after.position,
        after.incarnation,
        after.stream_seq,
    )
    return moved is not None


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
            await create_in(connection, [Table(model, schema) for model in models], f'"{schema}"')
    finally:
        await connection.close(timeout=5)


async def create_in(connection: Any, tables: Sequence[Table], schema: str) -> None:
    if any("gin_trgm_ops" in index for table in tables for index in table.model.indexes):
        await connection.execute("CREATE EXTENSION IF NOT EXISTS pg_trgm SCHEMA public")
    await connection.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
    for statement in [CHECKPOINTS.format(s=schema), *(text for table in tables for text in table.ddl())]:
        await connection.execute(statement)
    await connection.execute(f"GRANT USAGE ON SCHEMA {schema} TO daybook_writer, daybook_reader")
    for name in [f"{schema}.checkpoints", *(table.name for table in tables)]:
        await connection.execute(f"GRANT SELECT, INSERT, UPDATE, DELETE ON {name} TO daybook_writer")
        await connection.execute(f"GRANT SELECT ON {name} TO daybook_reader")
    for table in tables:
        record = await connection.prepare(f"SELECT * FROM {table.name}")
        found = {(a.name, a.type.name) for a in record.get_attributes()}
        if found != {(e.name, PG_NAMES.get(e.type, e.type)) for e in table.columns}:
            raise TableDiffers(f"the table {table.name} was made by another version: drop it and its checkpoints")


PG_NAMES = {"bigint": "int8", "boolean": "bool", "double precision": "float8"}
