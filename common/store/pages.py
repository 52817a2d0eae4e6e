"""Keyset pages: each begins where the one before it ended, however many rows have come in between."""

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from common.messages import Rejected
from common.store.read_tables import Kept, Table


class Pages(Struct, frozen=True):
    """The rows of a table in the order of `columns`, which name each row once; `place` is the type of their values."""

    table: Table
    columns: tuple[str, ...]
    place: Any
    descending: bool = False

    async def page(
        self, connection: Any, wanted: Mapping[str, Any], limit: int, after: str | None
    ) -> tuple[list[Kept], str | None]:
        """At most so many rows, and what leads to the page that follows, if there is one.

        `wanted` gives conditions their values, such as `"site = ${}"`; those that are None do not count. Raises
        `Rejected` when `after` is not where a page of ours has ended.
        """
        conditions: list[str] = []
        values: list[Any] = []
        for condition, value in wanted.items():
            if value is not None:
                values.append(value)
                conditions.append(condition.format(len(values)))
        if after is not None:
            conditions.append(self._beyond(len(values)))
            values += read_place(after, self.place)
        where = f"WHERE {' AND '.join(conditions)}" if conditions else ""
        order = ", ".join(f"{column} DESC" if self.descending else column for column in self.columns)
        records = await connection.fetch(f"{self.table.select} {where} ORDER BY {order} LIMIT {limit + 1}", *values)
        rows = [self.table.kept(record) for record in records[:limit]]
        return rows, self._place_of(rows[-1]) if len(records) > limit else None

    def _beyond(self, values: int) -> str:
        parameters = ", ".join(f"${values + n}" for n in range(1, len(self.columns) + 1))
        return f"({', '.join(self.columns)}) {'<' if self.descending else '>'} ({parameters})"

    def _place_of(self, kept: Kept) -> str:
        return write_place([getattr(kept.row, column) for column in self.columns])


def write_place(place: Sequence[Any]) -> str:
    """Where a page has ended, as a text."""
    return base64.urlsafe_b64encode(msgspec.json.encode(place)).decode().rstrip("=")


def read_place(text: str, place: Any) -> tuple[Any, ...]:
    """Raises `Rejected` when the text is not where a page of ours has ended."""
    try:
        raw = base64.b64decode(text + "=" * (-len(text) % 4), b"-_", validate=True)
        found: tuple[Any, ...] = msgspec.json.decode(raw, type=place)
    except ValueError:  # Of base64's and msgspec's errors alike.
        raise Rejected("malformed", "not where a page has ended - at `$.after`") from None
    return found
