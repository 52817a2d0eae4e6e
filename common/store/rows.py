"""The rows of a read model as its follower needs them, and the one statement that writes a batch (protocol P8).

The rows that were written last are at hand, and of a row that is there already only what changes is written. The row of
an order changes seven times within seconds: read back and written as a whole, with all its lines, each time, it would
cost the database twice as much.
"""

from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

import asyncpg
import msgspec
from msgspec.structs import astuple

from common.readmodel import Key
from common.store.checkpoints import Checkpoint
from common.store.read_tables import Column, Kept, Table, matches, quoted, transposed, unnest

MOST_ROWS, MOST_FLAT_ROWS = 8_192, 32_768
"""So many rows are at hand, the fewer the more one may hold: with lists in it, and with plain values alone."""
MOST_STATEMENTS = 24


class RowsMissing(Exception):
    """Rows that were there are not there any more, and none of our followers has removed them."""


class Rows:
    """Loads and writes the rows of one table. For one follower, which writes what it has loaded last.

    What is at hand is what the table holds as long as nobody else has moved a checkpoint of the model, which is what
    each write is fenced by. So a load is told where they are.
    """

    def __init__(self, table: Table) -> None:
        self._table, self._adds = table, bool(table.model.adds)
        self._most = MOST_ROWS if any(each.type == "jsonb" for each in table.columns) else MOST_FLAT_ROWS
        self._at: Mapping[str, Checkpoint] = {}
        self._at_hand: dict[Key, Kept | None] = {}
        self._loaded: dict[Key, Kept | None] = {}
        self._statements: dict[tuple[bool, tuple[str, ...], bool], str] = {}

    async def load(self, connection: Any, keys: Iterable[Key], at: Mapping[str, Checkpoint]) -> dict[Key, Kept | None]:
        """The rows of these keys, None where there is none; `at` are all checkpoints of the model."""
        if at != self._at:
            self._at_hand.clear()
            self._at = dict(at)
        found = dict.fromkeys(keys)
        found |= await self._table.load(connection, [key for key in found if key not in self._at_hand])
        found |= {key: self._at_hand[key] for key in found if key in self._at_hand}
        self._loaded = dict(found)
        return found

    async def write(
        self,
        connection: Any,
        before: Mapping[str, Checkpoint],
        context: str,
        after: Checkpoint,
        rows: Mapping[Key, Kept | None],
    ) -> bool:
        """Moves the checkpoint of one context and writes the rows, all or nothing.

        False, and nothing written, when somebody else has moved any checkpoint of this model since `before` was read.
        Raises `RowsMissing`.
        """
        self._at = {}  # If this fails, nothing is at hand.
        new = [kept for key, kept in rows.items() if kept and not self._loaded.get(key)]
        old = [(was, kept) for key, kept in rows.items() if kept and (was := self._loaded.get(key))]
        gone = [key for key, kept in rows.items() if not kept]
        changed = self._changed(old, context)
        contexts = list(self._table.contexts)
        try:
            moved = await connection.fetchval(
                self._statement(bool(new), changed, bool(gone)),
                self._table.model.name,
                contexts,
                [before[name].position for name in contexts],
                before[context].generation,
                context,
                after.position,
                after.incarnation,
                after.stream_seq,
                len(old),
                *(values_of(new, each) for each in self._table.columns if new),
                *(values_of([kept for _, kept in old], each) for each in (*self._table.keys, *changed) if old),
                *(transposed(gone, len(self._table.keys)) if gone else ()),
            )
        except asyncpg.DivisionByZeroError:
            raise RowsMissing(
                f"{self._table.model.name}: {len(old)} rows were to be changed, and are not there"
            ) from None
        if moved and not self._adds:
            self._keep(rows)
            self._at = {**before, context: after}
        return bool(moved)

    def _keep(self, rows: Mapping[Key, Kept | None]) -> None:
        """Keeps what has been written at hand, and forgets what was written longest ago."""
        at_hand = self._at_hand
        for key, kept in rows.items():
            at_hand.pop(key, None)
            at_hand[key] = kept
        for key in list(islice(at_hand, max(0, len(at_hand) - self._most))):
            del at_hand[key]

    def _changed(self, old: Sequence[tuple[Kept, Kept]], context: str) -> tuple[Column, ...]:
        """The columns that some row has other values in than before, and those that say what it reflects."""
        if not old:
            return ()
        fields, places = msgspec.structs.fields(self._table.model.row), set[int]()
        for was, now in old:
            pairs = zip(astuple(was.row), astuple(now.row), strict=True)
            places.update(place for place, (a, b) in enumerate(pairs) if a is not b and a != b)
        names = {fields[place].name for place in places} | {f"position_{context}", "version"}
        if len(self._statements) >= MOST_STATEMENTS:  # Each is prepared, and its plan kept.
            names = {each.name for each in self._table.columns}
        return tuple(each for each in self._table.columns if each.name in names - set(self._table.model.key))

    def _statement(self, new: bool, changed: tuple[Column, ...], gone: bool) -> str:
        kind = new, tuple(each.name for each in changed), gone
        if kind not in self._statements:
            self._statements[kind] = self._written(new, changed, gone)
        return self._statements[kind]

    def _written(self, new: bool, changed: Sequence[Column], gone: bool) -> str:
        parts, place, there = [MOVE.format(s=f'"{self._table.schema}"')], 10, "0"
        if new:
            parts.append(self._put(place))
            place += len(self._table.columns)
        if changed:
            parts.append(self._change(place, changed))
            place, there = place + len(self._table.keys) + len(changed), "(SELECT count(*) FROM changed)"
        if gone:
            parts.append(self._gone(place))
        # Dividing by zero is how a plain statement undoes itself.
        return f"WITH {', '.join(parts)} SELECT count(*) / ({there} = count(*) * $9::bigint)::int FROM moved"

    def _put(self, first: int) -> str:
        table, key = self._table, self._table.model.key
        names = [each.name for each in table.columns]
        new = unnest(first, [each.array for each in table.columns], "new", names)
        values = ", ".join(as_stored(each) for each in table.columns)
        changes = ", ".join(f'"{name}" = {self._after(name)}' for name in names if name not in key)
        return (
            f"put AS (INSERT INTO {table.name} AS t ({quoted(names)}) SELECT {values} FROM moved, {new}"
            f" ON CONFLICT ({quoted(key)}) DO UPDATE SET {changes})"
        )

    def _after(self, name: str) -> str:
        """What a column of a row that is there already holds then: of sums, a batch brings only what it adds."""
        if not self._adds:
            return f'excluded."{name}"'
        if name.startswith("position_"):
            return f'greatest(t."{name}", excluded."{name}")'
        return f't."{name}" + excluded."{name}"'

    def _change(self, first: int, columns: Sequence[Column]) -> str:
        table, key = self._table, self._table.model.key
        given = [*table.keys, *columns]
        new = unnest(first, [each.array for each in given], "new", [each.name for each in given])
        changes = ", ".join(f'"{each.name}" = {as_stored(each)}' for each in columns)
        return (
            f"changed AS (UPDATE {table.name} AS t SET {changes} FROM moved, {new}"
            f" WHERE {matches(key, 'new')} RETURNING 1)"
        )

    def _gone(self, first: int) -> str:
        table, key = self._table, self._table.model.key
        old = unnest(first, [each.array for each in table.keys], "old", key)
        return f"gone AS (DELETE FROM {table.name} AS t USING moved, {old} WHERE {matches(key, 'old')})"


# Everything derives from `moved`. All checkpoints of the model are held, in one order: a model of several contexts has
# rows that the batches of each of them touch, and two processes could otherwise overwrite each other's.
MOVE = """held AS MATERIALIZED (
    SELECT FROM {s}.checkpoints AS c
    JOIN unnest($2::text[], $3::bigint[]) AS e(context, position) ON c.context = e.context AND c.position = e.position
    WHERE c.model = $1 AND c.generation = $4 ORDER BY c.context FOR NO KEY UPDATE OF c
), moved AS (
    UPDATE {s}.checkpoints SET position = $6, incarnation = $7, stream_seq = $8
    WHERE model = $1 AND context = $5 AND (SELECT count(*) FROM held) = cardinality($2) RETURNING 1
)"""


def as_stored(column: Column) -> str:
    return f'new."{column.name}"' + ("::jsonb" if column.type == "jsonb" else "")


def values_of(rows: Sequence[Kept], column: Column) -> list[Any]:
    """One column's values, as the driver takes them."""
    values = list(map(column.value, rows))
    encode = column.encode
    return [value if value is None else encode(value) for value in values] if encode else values
