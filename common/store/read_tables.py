"""Read models as tables: their columns, their DDL, and the one statement that writes a batch (protocol P8)."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import FieldInfo

from common.codec import event_encoder
from common.personal import decode_personal
from common.readmodel import Key, ReadModel
from common.store.checkpoints import Checkpoint

SQL_TYPES: dict[type[inspect.Type], str] = {
    inspect.StrType: "text",
    inspect.IntType: "bigint",
    inspect.BoolType: "boolean",
    inspect.FloatType: "double precision",
    inspect.DateTimeType: "timestamptz",
    inspect.DateType: "date",
}


class Kept(Struct, gc=False):
    """A row with the position per context that it reflects, and the stream version of the last event applied to it.

    A model that follows several contexts has a version only of the one that it names: else the last one would depend
    on chance.
    """

    row: Any
    positions: dict[str, int]
    version: int = 0


class Column(Struct, frozen=True):
    """A column and how its values get there and back. Both functions are None where the driver does it."""

    name: str
    type: str
    not_null: bool
    encode: Callable[[Any], Any] | None = None
    decode: Callable[[Any], Any] | None = None

    @property
    def array(self) -> str:
        """The type of its array parameter: JSON travels as text."""
        return "text[]" if self.type == "jsonb" else f"{self.type}[]"


def column(field: FieldInfo) -> Column:
    """The column of a row's field: what Postgres has a plain type for as that, everything else as jsonb."""
    info = inspect.type_info(field.type)
    kinds = info.types if isinstance(info, inspect.UnionType) else (info,)
    plain = [kind for kind in kinds if not isinstance(kind, inspect.NoneType)]
    not_null = len(plain) == len(kinds)
    if len(plain) == 1 and (sql := sql_type(plain[0])):
        return Column(field.name, sql, not_null)
    decoder = msgspec.json.Decoder(field.type, dec_hook=decode_personal)
    return Column(field.name, "jsonb", not_null, lambda value: event_encoder.encode(value).decode(), decoder.decode)


def sql_type(kind: inspect.Type) -> str:
    if isinstance(kind, inspect.LiteralType):
        return "text" if all(isinstance(value, str) for value in kind.values) else ""
    return SQL_TYPES.get(type(kind), "")


class Table:
    """The table of one read model in one schema."""

    def __init__(self, model: ReadModel, schema: str = "read") -> None:
        self.model, self.schema = model, schema
        self.contexts = tuple(sorted(model.follows))
        self.name = f'"{schema}"."{model.name}"'
        self._fields = [column(field) for field in msgspec.structs.fields(model.row)]
        self._encodes = any(each.encode for each in self._fields)
        own = [Column(f"position_{context}", "bigint", True) for context in self.contexts]
        self.versioned = bool(model.version_from)
        self.columns = self._fields + own + ([Column("version", "bigint", True)] if self.versioned else [])
        names = [each.name for each in self.columns]
        if len(set(names)) < len(names) or not set(model.key) <= set(names):
            raise TypeError(
                f"{model.name}: a row's fields must include its key and must not be named as our own columns"
            )
        self._by_name = {each.name: each for each in self.columns}
        self._keys = [self._by_name[name] for name in model.key]
        self.select = f"SELECT {quoted(f't.{n}' for n in names)} FROM {self.name} AS t"
        wanted = unnest(1, [each.array for each in self._keys], "wanted", model.key)
        self._load = f"{self.select} JOIN {wanted} ON {matches(model.key, 'wanted')}"
        self._statements: dict[tuple[bool, bool], str] = {}

    def default(self, name: str) -> Any:
        """What a column holds, as it is stored, where nobody says it; `NODEFAULT` when that is not declared."""
        field = next((each for each in msgspec.structs.fields(self.model.row) if each.name == name), None)
        if field is None:
            return 0  # A position, or a version.
        value = field.default if field.default_factory is msgspec.NODEFAULT else field.default_factory()
        encode = self._by_name[name].encode
        return encode(value) if encode and value is not None and value is not msgspec.NODEFAULT else value

    def key(self, row: Any) -> Key:
        return tuple(getattr(row, name) for name in self.model.key)

    def kept(self, record: Any) -> Kept:
        """A row as `select` gives it."""
        values = {
            each.name: each.decode(record[each.name])
            if each.decode and record[each.name] is not None
            else record[each.name]
            for each in self._fields
        }
        positions = {context: record[f"position_{context}"] for context in self.contexts}
        return Kept(self.model.row(**values), positions, record["version"] if self.versioned else 0)

    async def load(self, connection: Any, keys: Iterable[Key]) -> dict[Key, Kept | None]:
        """The rows of these keys, in one statement; None where there is none, and always for a model of sums."""
        found: dict[Key, Kept | None] = dict.fromkeys(keys)
        if not found or self.model.adds:
            return found
        for record in await connection.fetch(self._load, *transposed(found, len(self._keys))):
            kept = self.kept(record)
            found[self.key(kept.row)] = kept
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
        """
        put = [self._values(kept) for kept in rows.values() if kept is not None]
        gone = [key for key, kept in rows.items() if kept is None]
        contexts = list(self.contexts)
        moved = await connection.fetchval(
            self._statement(bool(put), bool(gone)),
            self.model.name,
            contexts,
            [before[name].position for name in contexts],
            before[context].generation,
            context,
            after.position,
            after.incarnation,
            after.stream_seq,
            *(transposed(put, len(self.columns)) if put else ()),
            *(transposed(gone, len(self._keys)) if gone else ()),
        )
        return bool(moved)

    def _values(self, kept: Kept) -> list[Any]:
        values: Iterable[Any] = msgspec.structs.astuple(kept.row)
        if self._encodes:
            values = [
                each.encode(value) if each.encode and value is not None else value
                for each, value in zip(self._fields, values, strict=True)
            ]
        own = [kept.positions.get(context, 0) for context in self.contexts]
        return [*values, *own, kept.version] if self.versioned else [*values, *own]

    def _statement(self, put: bool, gone: bool) -> str:
        if (put, gone) not in self._statements:
            parts = [MOVE.format(s=f'"{self.schema}"')]
            parts += [self._put(9)] if put else []
            parts += [self._gone(9 + len(self.columns) * put)] if gone else []
            self._statements[put, gone] = f"WITH {', '.join(parts)} SELECT count(*) FROM moved"
        return self._statements[put, gone]

    def _put(self, first: int) -> str:
        names = [each.name for each in self.columns]
        new = unnest(first, [each.array for each in self.columns], "new", names)
        values = ", ".join(f'new."{e.name}"' + ("::jsonb" if e.type == "jsonb" else "") for e in self.columns)
        changes = ", ".join(f'"{name}" = {self._after(name)}' for name in names if name not in self.model.key)
        return (
            f"put AS (INSERT INTO {self.name} AS t ({quoted(names)}) SELECT {values} FROM moved, {new}"
            f" ON CONFLICT ({quoted(self.model.key)}) DO UPDATE SET {changes})"
        )

    def _after(self, name: str) -> str:
        """What a column of a row that is there already holds then: of sums, a batch brings only what it adds."""
        if not self.model.adds:
            return f'excluded."{name}"'
        if name.startswith("position_"):
            return f'greatest(t."{name}", excluded."{name}")'
        return f't."{name}" + excluded."{name}"'

    def _gone(self, first: int) -> str:
        old = unnest(first, [each.array for each in self._keys], "old", self.model.key)
        return f"gone AS (DELETE FROM {self.name} AS t USING moved, {old} WHERE {matches(self.model.key, 'old')})"

    def ddl(self) -> list[str]:
        """What makes the table and its indexes."""
        columns = ", ".join(f'"{e.name}" {e.type}{" NOT NULL" if e.not_null else ""}' for e in self.columns)
        full = f" WITH (fillfactor = {self.model.fillfactor})"
        made = [f"CREATE TABLE IF NOT EXISTS {self.name} ({columns}, PRIMARY KEY ({quoted(self.model.key)})){full}"]
        return made + [f'CREATE INDEX IF NOT EXISTS "{name}" ON {self.name} {what}' for name, what in self.indexes]

    @property
    def indexes(self) -> list[tuple[str, str]]:
        """Their names, and all that follows `ON <table>`: an index of the model is that, or a column list."""
        return [
            (index_name(self.model.name, index), index if index.upper().startswith("USING ") else f"({index})")
            for index in self.model.indexes
        ]


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


def index_name(table: str, index: str) -> str:
    """Another one for each index: Postgres would cut a long name short."""
    name = re.sub(r"\W+", "_", f"{table} {index.lower()}").strip("_")
    return name if len(name) <= 60 else f"{name[:51]}_{crc32(name.encode()):08x}"


def quoted(names: Iterable[str]) -> str:
    """A list of columns; `t.name` names one of a table."""
    return ", ".join(".".join(part if part == "t" else f'"{part}"' for part in name.split(".")) for name in names)


def matches(key: Iterable[str], other: str) -> str:
    return " AND ".join(f't."{name}" = {other}."{name}"' for name in key)


def unnest(first: int, arrays: Sequence[str], name: str, columns: Iterable[str]) -> str:
    parameters = ", ".join(f"${first + i}::{array}" for i, array in enumerate(arrays))
    return f"unnest({parameters}) AS {name}({quoted(columns)})"


def transposed(rows: Iterable[Sequence[Any]], width: int) -> list[list[Any]]:
    """Rows as columns, which is what unnest takes."""
    columns = [list(each) for each in zip(*rows, strict=True)]
    return columns or [[] for _ in range(width)]
