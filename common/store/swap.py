"""A read model's next table: begun beside the live one, and put in its place (protocol P12)."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

import asyncpg

from common.readmodel import ReadModel, building
from common.store.checkpoints import Checkpoint, read_checkpoints
from common.store.read_schema import LOCK, drop, drop_begun, make_empty
from common.store.read_tables import Table

WRITERS_WAIT_MS, READERS_WAIT_MS = 2000, 300
"""How long the swap may keep others waiting before it has its locks; else it is tried again later."""

Reached = Callable[[Mapping[str, Checkpoint]], Awaitable[bool]]
"""Waits, not for long, until the new table is at or past these checkpoints of the live one; whether it is."""


async def begin_anew(dsn: str, model: ReadModel, schema: str = "read") -> None:
    """Begins the model's table of this version once more, from the first event; what was begun of it is dropped.

    Whoever keeps this version of the model finds it and builds it. Raises connection errors.
    """
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        async with connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
            await connection.execute("SET LOCAL ROLE daybook_owner")
            await make_empty(connection, Table(building(model), schema))
    finally:
        await connection.close(timeout=5)


async def swap(pool: Any, model: ReadModel, schema: str, reached: Reached) -> bool:
    """Puts the table that was built in the place of the live one, all or nothing; False when that cannot be yet.

    Those who write the live table wait from the first lock on, so what `reached` waits for does not move away. Readers
    are served all the time but for the moment of the renaming. Raises connection errors; a lock that is not to be had
    soon is one.
    """
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute("SET LOCAL ROLE daybook_owner")
        await patience(connection, WRITERS_WAIT_MS)
        await connection.execute("SELECT pg_advisory_xact_lock($1)", LOCK)
        live, new = Table(model, schema), Table(building(model), schema)
        # Tables before checkpoints: the order in which those who write take their locks.
        await connection.execute(f"LOCK TABLE {live.name} IN SHARE ROW EXCLUSIVE MODE")
        places = await read_checkpoints(connection, model.name, schema)
        if not await reached(places):
            return False
        await patience(connection, READERS_WAIT_MS)
        await connection.execute(f"LOCK TABLE {live.name}, {new.name} IN ACCESS EXCLUSIVE MODE")
        if not passed(await read_checkpoints(connection, new.model.name, schema), places):
            return False
        await put_in_place(connection, live, new, places)
        await drop_begun(connection, model, schema, model.version)
    return True


async def patience(connection: Any, milliseconds: int) -> None:
    await connection.execute(f"SET LOCAL lock_timeout = {milliseconds}")


def passed(new: Mapping[str, Checkpoint], live: Mapping[str, Checkpoint]) -> bool:
    """Whether a table is at or past another one, as far as they tell of the same records."""
    return bool(new) and all(
        each.position >= live[context].position
        for context, each in new.items()
        if context in live and live[context].incarnation in ("", each.incarnation)
    )


async def put_in_place(connection: Any, live: Table, new: Table, places: Mapping[str, Checkpoint]) -> None:
    """The new table takes over the names of the live one, and where to read on in EVENTS if nobody has told it."""
    schema = live.schema
    await drop(connection, live.model.name, schema)
    await connection.execute(f'ALTER TABLE {new.name} RENAME TO "{live.model.name}"')
    renamed = zip(index_names(new), index_names(live), strict=True)
    for before, after in renamed:
        await connection.execute(f'ALTER INDEX "{schema}"."{before}" RENAME TO "{after}"')
    generation = max([each.generation for each in places.values()], default=0) + 1
    await connection.execute(
        f"""UPDATE "{schema}".checkpoints AS c SET model = $2, generation = greatest(generation, $3),
            stream_seq = greatest(stream_seq, (SELECT seq FROM unnest($4::text[], $5::text[], $6::bigint[])
                AS old(context, incarnation, seq) WHERE old.context = c.context AND old.incarnation = c.incarnation))
        WHERE model = $1""",
        new.model.name,
        live.model.name,
        generation,
        list(places),
        [each.incarnation for each in places.values()],
        [each.stream_seq for each in places.values()],
    )


def index_names(table: Table) -> list[str]:
    return [f"{table.model.name}_pkey", *(name for name, _ in table.indexes)]
