"""Queries that can wait for a state: which stream they follow, and which values there are to wait for."""

import re
from functools import cache
from typing import Any, get_args

import msgspec

from common.messages import Query, Rejected

PATH_PARAMETER = re.compile(r"{(\w+)}")


def stream_key(query: Query) -> str:
    """The stream that the query's path names."""
    name = PATH_PARAMETER.findall(type(query).get)[0]
    key: str = next(getattr(query, f.name) for f in msgspec.structs.fields(query) if f.encode_name == name)
    return key


def awaited_value(query: Query, answer: Any) -> Any:
    """The present value of what can be waited for; None while there is no answer."""
    return getattr(answer, type(query).awaits, None)


def known_values(kind: type[Query], until: frozenset[str]) -> None:
    """Raises `Rejected` when the query cannot wait, or never has one of these values."""
    if until and not kind.awaits:
        raise Rejected("malformed", f"{kind.__name__} has no state to wait for - at `until`")
    if odd := sorted(until - (values := awaited_values(kind) or until)):
        raise Rejected("malformed", f"{odd[0]!r} is not one of {', '.join(sorted(values))} - at `until`")


@cache
def awaited_values(kind: type[Query]) -> frozenset[str]:
    """The values there are, where the answer's type lists them; else none."""
    fields = msgspec.structs.fields(kind.answer) if kind.awaits else ()
    return frozenset(value for field in fields if field.name == kind.awaits for value in get_args(field.type))
