"""How the type of a field is said in words: by its name where its module has one for it, such as `Money`."""

import inspect
import sys
from collections.abc import Iterator
from datetime import datetime
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec
from msgspec import Struct

from common.glossary.terms import Field, Value
from common.personal import Personal

WORDS = {str: "text", int: "number", float: "decimal", bool: "yes or no", datetime: "time", Personal: "personal data"}


def about(thing: Any) -> str:
    """What a class or a module says of itself; nothing when its text is not its own (msgspec's is inherited)."""
    return inspect.cleandoc(vars(thing).get("__doc__") or "")


def fields(kind: type[Struct]) -> tuple[Field, ...]:
    module = sys.modules[kind.__module__]
    return tuple(Field(each.name, said(each.type, module), each.required) for each in msgspec.structs.fields(kind))


def said(kind: Any, module: Any) -> str:
    origin, parts = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return named(kind, module) or said(parts[0], module)
    if origin in (Union, UnionType):
        return " or ".join(said(part, module) for part in parts if part is not NoneType) + ", or nothing" * (
            NoneType in parts
        )
    if origin is Literal:
        return " | ".join(f"`{part}`" if part else "nothing" for part in parts)
    if origin in (tuple, list, set, frozenset):
        return f"list of {said(parts[0], module)}"
    return WORDS.get(kind) or str(getattr(kind, "__name__", kind))


def named(kind: Any, module: Any) -> str:
    """The name by which a module calls a type."""
    return next((name for name, thing in vars(module).items() if thing == kind and get_origin(thing) is Annotated), "")


def values(kinds: tuple[type[Struct], ...]) -> tuple[Value, ...]:
    """The parts of these messages that have a name of their own, each once, with their own parts."""
    found: dict[type[Struct], None] = {}
    for kind in kinds:
        for field in msgspec.structs.fields(kind):
            for part in parts_of(field.type):
                found[part] = None
    return tuple(Value(part.__name__, about(part), fields(part)) for part in found)


def parts_of(kind: Any) -> Iterator[type[Struct]]:
    if isinstance(kind, type) and issubclass(kind, Struct):
        yield kind
        for field in msgspec.structs.fields(kind):
            yield from parts_of(field.type)
    for part in get_args(kind):
        yield from parts_of(part)
