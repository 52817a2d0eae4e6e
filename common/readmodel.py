"""What a read model declares: its rows, which events it follows and how they change it."""

from collections.abc import Callable, Iterable, Mapping
from operator import add
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import astuple, replace

from common.messages import Event

Key = tuple[Any, ...]
Adds = Callable[[str, Any], Mapping[Key, tuple[int, ...]]]
"""What an event of a stream adds to the numbers of which rows."""


class Follows(Protocol):
    """Who follows events, and of which types, by context: a read model, or a context's reactions."""

    @property
    def name(self) -> str: ...
    @property
    def follows(self) -> Mapping[str, tuple[type[Event], ...]]: ...


class ReadModel(Struct, frozen=True, kw_only=True):
    """A fold into a table.

    `keys(stream, event)` names the rows that an event touches; `apply(row, stream, event)` gives the row after it, or
    None for no row. Both are pure. For a row that is not there `apply` is given None, or `blank(key)` if the model has
    that: where one event changes several rows, it says which is meant. The table has one column for each field of
    `row`, the key columns first named in `key`, and for each context followed the position that the row reflects.
    `indexes` are SQL column lists. `versioned` names the context whose streams' version a row carries, which is what
    `If-Match` compares; of a model that follows a single context it is that one. `fillfactor` is the part of a page, in
    percent, that new rows may fill: where rows change often, what is left takes their next version, and no index has to
    be told.

    `version` is counted up with every change of what the fold gives, or of its table. The table of the new version is
    then built beside the live one, out of the record, and takes its place. Until that moment the new code reads the old
    table: so a field that is new has a default, also in what a field holds, and one that changes its type gets another
    name.

    A model of sums, made by `sums`, says instead what an event `adds` to which rows. No row is loaded then: the
    database adds what a batch comes to. Such rows are of many streams and carry no version.
    """

    name: str
    row: type[Struct]
    key: tuple[str, ...]
    follows: Mapping[str, tuple[type[Event], ...]]
    keys: Callable[[str, Any], Iterable[Key]]
    apply: Callable[[Any, str, Any], Any]
    indexes: tuple[str, ...] = ()
    blank: Callable[[Key], Any] | None = None
    versioned: str = ""
    fillfactor: int = 100
    adds: "Adds | None" = None
    version: int = 1

    @property
    def version_from(self) -> str:
        """The context whose streams' version a row carries; "" for none."""
        if self.versioned or self.adds or len(self.follows) > 1:
            return self.versioned
        return next(iter(self.follows))


def building(model: ReadModel) -> ReadModel:
    """The model under the name that its table of this version has while it is built beside the live one."""
    return replace(model, name=f"{model.name}__{model.version}")


def live_name(name: str) -> str:
    """The name of a model's live table, also of one that is built beside it."""
    return name.partition("__")[0]


def sums(
    *,
    name: str,
    row: type[Struct],
    key: tuple[str, ...],
    follows: Mapping[str, tuple[type[Event], ...]],
    adds: Adds,
    version: int = 1,
) -> ReadModel:
    """A read model whose rows are sums: the fields of `row` are the key, then the numbers that events add to.

    What rows come to does not depend on the order of events. Raises `TypeError` when the key does not come first.
    """
    fields, width = row.__struct_fields__, len(key)
    if fields[:width] != key:
        raise TypeError(f"{name}: the fields of a row must begin with its key, in order")

    def blank(key: Key) -> Any:
        return row(*key, *(0 for _ in fields[width:]))

    def apply(before: Any, stream: str, event: Any) -> Any:
        values = astuple(before)
        added = adds(stream, event)[values[:width]]
        return row(*values[:width], *map(add, values[width:], added))

    return ReadModel(
        name=name,
        row=row,
        key=key,
        follows=follows,
        keys=lambda stream, event: adds(stream, event).keys(),
        apply=apply,
        blank=blank,
        adds=adds,
        version=version,
    )
