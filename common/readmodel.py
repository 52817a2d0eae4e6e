"""What a read model declares: its rows, which events it follows and how they change it."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from msgspec import Struct

from common.messages import Event

Key = tuple[Any, ...]


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

    @property
    def version_from(self) -> str:
        """The context whose streams' version a row carries; "" for none."""
        return self.versioned or (next(iter(self.follows)) if len(self.follows) == 1 else "")
