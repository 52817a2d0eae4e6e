"""Checkpoints: how far who follows events has come in each context, and which version of a read model stands there."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from common.readmodel import Follows, ReadModel

# The least fill: a checkpoint changes with every batch, and its next version finds room in its page.
CHECKPOINTS = """CREATE TABLE IF NOT EXISTS {s}.checkpoints (
    model text, context text, generation bigint NOT NULL DEFAULT 0, incarnation text NOT NULL DEFAULT '',
    position bigint NOT NULL DEFAULT 0, stream_seq bigint NOT NULL DEFAULT 0, version bigint NOT NULL DEFAULT 1,
    PRIMARY KEY (model, context)
) WITH (fillfactor = 10)"""
COLUMNS = "context, position, incarnation, stream_seq, generation, version"


class Checkpoint(Struct, frozen=True):
    """How far a model has come in one context. `stream_seq` is the place in EVENTS, a hint for where to read on.

    `generation` is another one for each table that was begun under this name, by the time that it was; `version` is of
    the model that the table is of.
    """

    position: int
    incarnation: str
    stream_seq: int
    generation: int
    version: int = 1


NOWHERE = Checkpoint(0, "", 0, 0)


async def load_checkpoints(connection: Any, follows: Follows, schema: str = "read") -> dict[str, Checkpoint]:
    """The checkpoints, by context, of who follows events and keeps no table; those that do not exist yet are made."""
    await connection.execute(
        f'INSERT INTO "{schema}".checkpoints (model, context) SELECT $1, unnest($2::text[]) ON CONFLICT DO NOTHING',
        follows.name,
        sorted(follows.follows),
    )
    return await read_checkpoints(connection, follows.name, schema)


class PlacesMissing(Exception):
    """A read model has no checkpoints: what rows there may be say nothing, and must go before it begins again."""


async def places_of(connection: Any, model: ReadModel, schema: str = "read") -> dict[str, Checkpoint]:
    """A read model's checkpoints by context, of whatever version. Raises `PlacesMissing`."""
    if places := await read_checkpoints(connection, model.name, schema):
        return places
    raise PlacesMissing(f"{model.name} has no checkpoints: its table is to be made anew with them")


async def begin_model(connection: Any, model: ReadModel, schema: str = "read") -> None:
    """Begins an empty table at 0, as of this version, when it has no checkpoints."""
    await connection.execute(
        f"""INSERT INTO "{schema}".checkpoints (model, context, version, generation)
        SELECT $1, unnest($2::text[]), $3, (extract(epoch FROM now()) * 1000)::bigint
        WHERE NOT EXISTS (SELECT FROM "{schema}".checkpoints WHERE model = $1) ON CONFLICT DO NOTHING""",
        model.name,
        sorted(model.follows),
        model.version,
    )


async def read_checkpoints(connection: Any, model: str, schema: str = "read") -> dict[str, Checkpoint]:
    """A model's checkpoints by context. A query reads them before its rows: those are then at least as new."""
    rows = await connection.fetch(f'SELECT {COLUMNS} FROM "{schema}".checkpoints WHERE model = $1', model)
    return {context: Checkpoint(*rest) for context, *rest in rows}


async def all_checkpoints(connection: Any, models: Sequence[str], schema: str) -> dict[str, dict[str, Checkpoint]]:
    """The checkpoints of those models that have any, by model and context."""
    rows = await connection.fetch(f'SELECT model, {COLUMNS} FROM "{schema}".checkpoints WHERE model = ANY($1)', models)
    found: dict[str, dict[str, Checkpoint]] = {}
    for model, context, *rest in rows:
        found.setdefault(model, {})[context] = Checkpoint(*rest)
    return found


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
