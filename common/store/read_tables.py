"""Read models as tables: their columns, their DDL, and how rows are read back."""

import re
from collections.abc import Callable, Iterable, Sequence
from operator import attrgetter
from typing import Any
from zlib import crc32

import msgspec
from msgspec import Struct, inspect
from msgspec.structs import FieldInfo

from common.codec import event_encoder
from common.personal import decode_personal
from common.readmodel import Key, ReadModel

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
    """A column: what of a row it holds, and how that gets there and back, where the driver does not do it."""

    name: str
    type: str
    not_null: bool
    value: Callable[[Kept], Any]
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
        return Column(field.name, sql, not_null, attrgetter(f"row.{field.name}"))
    decoder = msgspec.json.Decoder(field.type, dec_hook=decode_personal)
    value = attrgetter(f"row.{field.name}")
    return Column(
        field.name, "jsonb", not_null, value, lambda each: event_encoder.encode(each).decode(), decoder.decode
    )


def position_column(context: str) -> Column:
    return Column(f"position_{context}", "bigint", True, lambda kept: kept.positions.get(context, 0))


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
        own = [position_column(context) for context in self.contexts]
        self.versioned = bool(model.version_from)
        own += [Column("version", "bigint", True, attrgetter("version"))] if self.versioned else []
        self.columns = self._fields + own
        names = [each.name for each in self.columns]
        if len(set(names)) < len(names) or not set(model.key) <= set(names):
            raise TypeError(
                f"{model.name}: a row's fields must include its key and must not be named as our own columns"
            )
        self._by_name = {each.name: each for each in self.columns}
        self.keys = [self._by_name[name] for name in model.key]
        self.select = f"SELECT {quoted(f't.{n}' for n in names)} FROM {self.name} AS t"
        wanted = unnest(1, [each.array for each in self.keys], "wanted", model.key)
        self._load = f"{self.select} JOIN {wanted} ON {matches(model.key, 'wanted')}"

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
        for record in await connection.fetch(self._load, *transposed(found, len(self.keys))):
            kept = self.kept(record)
            found[self.key(kept.row)] = kept
        return found

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
