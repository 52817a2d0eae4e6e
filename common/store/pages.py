"""Keyset pages: each begins where the one before it ended, however many rows have come in between."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from common.messages import Rejected
from common.store.read_tables import Kept, Table

Wanted = Mapping[str, Any] | Sequence[tuple[str, Any]]


class Source(Struct, frozen=True):
    """A SELECT of a table's rows that Postgres is to make as it stands, with its values from `$1` on."""

    select: str
    values: Sequence[Any]


class Pages(Struct, frozen=True):
    """The rows of a table in the order of `columns`, which name each row once; `place` is the type of their values."""

    table: Table
    columns: tuple[str, ...]
    place: Any
    descending: bool = False

    async def page(
        self, connection: Any, wanted: Wanted, limit: int, after: str | None, source: Source | None = None
    ) -> tuple[list[Kept], str | None]:
        """At most so many rows, and what leads to the page that follows, if there is one.

        `wanted` gives conditions their values, such as `"site = ${}"`; those that are None do not count. `source` is
        what is read first, all of it, instead of the table in order. Raises `Rejected` when `after` is not where a page
        of ours has ended, or when a time is none that Postgres knows.
        """
        conditions: list[str] = []
        values: list[Any] = list(source.values) if source else []
        for condition, value in wanted.items() if isinstance(wanted, Mapping) else wanted:
            if value is not None:
                values.append(value)
                conditions.append(condition.format(len(values)))
        if after is not None:
            conditions.append(self._beyond(len(values)))
            values += read_place(after, self.place)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        order = ", ".join(f"{column} DESC" if self.descending else column for column in self.columns)
        select = self.table.select
        if source:  # OFFSET 0 keeps Postgres from taking the conditions and the order into it.
            select = select.replace(f"{self.table.name} AS t", f"({source.select} OFFSET 0) AS t")
        try:
            records = await connection.fetch(f"{select} {where} ORDER BY {order} LIMIT {limit + 1}", *values)
        except asyncpg.DataError:  # A time whose UTC is before the year 1 or after 9999.
            raise Rejected("malformed", "a time that is too long ago or too far ahead") from None
        kept = [self.table.kept(record) for record in records[:limit]]
        return kept, self._place_of(kept[-1]) if len(records) > limit else None

    def _beyond(self, values: int) -> str:
        parameters = ", ".join(f"${values + n}" for n in range(1, len(self.columns) + 1))
        return f"({', '.join(self.columns)}) {'<' if self.descending else '>'} ({parameters})"

    def _place_of(self, kept: Kept) -> str:
        return write_place([getattr(kept.row, column) for column in self.columns])


def write_place(place: Sequence[Any], of: Sequence[Any] = ()) -> str:
    """Where a page has ended, as a text; `of` says to what questions it belongs."""
    return base64.urlsafe_b64encode(msgspec.json.encode([*of, *place])).decode().rstrip("=")


def read_place(text: str, place: Any, of: Sequence[Any] = ()) -> tuple[Any, ...]:
    """The place, whose type includes what it belongs to.

    Raises `Rejected` when the text is not where a page of ours has ended, or one of another question.
    """
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        found: tuple[Any, ...] = msgspec.json.decode(raw, type=place)
    except ValueError:  # Of base64's and msgspec's errors alike.
        raise Rejected("malformed", "not where a page has ended - at `$.after`") from None
    if found[: len(of)] != tuple(of):
        raise Rejected("malformed", "where a page of another question has ended - at `$.after`")
    return found[len(of) :]
