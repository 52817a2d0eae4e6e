"""The three kinds of message: commands ask for change, events record it, queries ask what is known."""

from datetime import datetime
from typing import Annotated, Any, ClassVar, dataclass_transform

import msgspec
from msgspec import Meta, Struct, StructMeta

# `$` alone would admit a trailing newline in Python; the look-ahead says the same to Python and to JSON Schema readers.
ID_PATTERN = r"^[A-Za-z0-9_-]{1,64}$(?!\n)"
Id = Annotated[str, Meta(pattern=ID_PATTERN, description="1 to 64 letters, digits, `_` or `-`")]
Text = Annotated[str, Meta(min_length=1, max_length=200)]
LongText = Annotated[str, Meta(max_length=4000)]
Money = Annotated[int, Meta(ge=0, le=10**12, description="minor units of the currency, such as cents")]
Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217 code")]
Instant = Annotated[datetime, Meta(tz=True)]


class Declaration(Struct, frozen=True):
    """What a command says of itself: where it is posted, who may send it and whose data it carries."""

    key: str
    post: str
    roles: frozenset[str]
    person: str
    example: dict[str, Any]


class CommandMeta(StructMeta):
    """Takes `key`, `post`, `roles`, `person` and `example` in the class statement of a command.

    `key` names the field that the subject or the route carries; it must be the first one. `post` is the public route;
    without one the command is taken from reactions only. `person` names the field that says whose personal data it is.
    """

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        key: str = "",
        post: str = "",
        roles: set[str] | frozenset[str] = frozenset(),
        person: str = "",
        example: dict[str, Any] | None = None,
        **config: Any,
    ) -> Any:
        cls: Any = super().__new__(mcls, name, bases, namespace, **config)
        if key:
            if not cls.__struct_fields__ or cls.__struct_fields__[0] != key:
                raise TypeError(f"{name}: the key field {key!r} must be the first field")
            cls.declared = Declaration(key, post, frozenset(roles), person, example or {})
        return cls


@dataclass_transform(field_specifiers=(msgspec.field,), frozen_default=True)
class Command(Struct, frozen=True, forbid_unknown_fields=True, gc=False, metaclass=CommandMeta):
    """A wish, in the imperative. It may be refused.

    Messages hold no cycles: left out of Python's search for those (`gc=False`), they decode a fifth faster.
    """

    declared: ClassVar[Declaration]


@dataclass_transform(field_specifiers=(msgspec.field,), frozen_default=True)
class Event(Struct, frozen=True, gc=False):
    """A fact, in the past tense. Its name and its fields are stored for ever; unknown fields are tolerated."""


class QueryMeta(StructMeta):
    """Takes `get` (the route), `stream`, `stream_field`, `awaits` and `answer` in the class statement.

    `stream` is the context whose stream the path names; where the path names something else, `stream_field` is the
    field of the answer that holds the stream's id. `awaits` is the field of the answer whose values can be waited for.
    """

    def __new__(
        mcls,
        name: str,
        bases: tuple[type, ...],
        namespace: dict[str, Any],
        *,
        get: str = "",
        stream: str = "",
        stream_field: str = "",
        awaits: str = "",
        answer: Any = None,
        **config: Any,
    ) -> Any:
        cls: Any = super().__new__(mcls, name, bases, namespace, **config)
        cls.get, cls.stream, cls.stream_field = get, stream, stream_field
        cls.awaits, cls.answer = awaits, answer
        return cls


@dataclass_transform(field_specifiers=(msgspec.field,), frozen_default=True)
class Query(Struct, frozen=True, forbid_unknown_fields=True, metaclass=QueryMeta):
    """A question. It changes nothing."""

    get: ClassVar[str]
    stream: ClassVar[str]
    stream_field: ClassVar[str]
    awaits: ClassVar[str]
    answer: ClassVar[Any]


class Rejected(Exception):
    """A rule says no. `code` is stable and meant for programs, `message` for people, `detail` holds present values."""

    def __init__(self, code: str, message: str, **detail: Any) -> None:
        super().__init__(message)
        self.code, self.message, self.detail = code, message, detail


def context_of(kind: type[Command] | type[Event]) -> str:
    """The context of a message: the package whose module `commands` or `events` defines it."""
    return kind.__module__.rpartition(".")[0].rpartition(".")[2]


def fields_of(message: type[Struct]) -> dict[str, Any]:
    """The fields of a message with their types."""
    return {field.name: field.type for field in msgspec.structs.fields(message)}
