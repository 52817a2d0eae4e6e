"""A plain message of any type, for asking a pure function that looks at no more than the type."""

from datetime import UTC, datetime
from typing import Any

import msgspec
from msgspec import Struct, inspect

from common.personal import Personal

SOME_TIME = datetime(2000, 1, 1, tzinfo=UTC)
EMPTY = {
    inspect.VarTupleType: (),
    inspect.ListType: [],
    inspect.SetType: set(),
    inspect.FrozenSetType: frozenset(),
    inspect.DictType: {},
    inspect.StrType: "x",
    inspect.BytesType: b"x",
    inspect.IntType: 1,
    inspect.FloatType: 1.0,
    inspect.BoolType: False,
    inspect.DateTimeType: SOME_TIME,
}


def sample(kind: type[Struct]) -> Any:
    """A message with something in every field that needs it."""
    return kind(**{field.name: of_type(field.type) for field in msgspec.structs.fields(kind) if field.required})


def of_type(kind: Any) -> Any:
    """Raises `TypeError` for a type that no message of ours holds."""
    match info := inspect.type_info(kind):
        case inspect.UnionType(types=types) if any(isinstance(each, inspect.NoneType) for each in types):
            return None
        case inspect.LiteralType(values=values):
            return values[0]
        case inspect.StructType(cls=cls):
            return sample(cls)
        case inspect.CustomType(cls=cls) if cls is Personal:
            return Personal("x", {})
        case _ if type(info) in EMPTY:
            return EMPTY[type(info)]
        case _:
            raise TypeError(f"there is no sample of {kind!r}")
