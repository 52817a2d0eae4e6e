"""By which plan Postgres answers a query: what its handler asks is asked again, explained."""

import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

from msgspec import Struct

EXPLAIN = "EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) "


class Plan(Struct, frozen=True):
    """Of all statements of one query together: the indexes, the tables that were read without one, rows that were read
    and rows that came of it, pages that were looked at, and the longest time in ms."""

    indexes: list[str]
    read_whole: list[str]
    read: int
    given: int
    pages: int
    ms: float


class Overheard:
    """A connection that notes what is asked of it."""

    def __init__(self, connection: Any) -> None:
        self._connection, self.asked = connection, list[tuple[str, tuple[Any, ...]]]()

    async def fetch(self, sql: str, *values: Any, **options: Any) -> Any:
        return await self._noted("fetch", sql, values, options)

    async def fetchrow(self, sql: str, *values: Any, **options: Any) -> Any:
        return await self._noted("fetchrow", sql, values, options)

    async def fetchval(self, sql: str, *values: Any, **options: Any) -> Any:
        return await self._noted("fetchval", sql, values, options)

    async def _noted(self, how: str, sql: str, values: tuple[Any, ...], options: dict[str, Any]) -> Any:
        self.asked.append((sql, values))
        return await getattr(self._connection, how)(sql, *values, **options)


async def plan_of(connection: Any, handler: Any, query: Any) -> Plan:
    """Raises what the handler raises."""
    overheard = Overheard(connection)
    await handler(query, overheard)
    found = []
    for sql, values in overheard.asked:
        said = await connection.fetchval(EXPLAIN + sql, *values)
        found.append((json.loads(said) if isinstance(said, str) else said)[0])
    return together(found)


def together(explained: list[dict[str, Any]]) -> Plan:
    indexes, whole = Counter[str](), Counter[str]()
    read = 0
    for node in (node for each in explained for node in nodes(each["Plan"])):
        if "Index Name" in node:
            indexes[node["Index Name"]] += 1
        if node["Node Type"] == "Seq Scan":
            whole[node["Relation Name"]] += 1
        if "Scan" in node["Node Type"] and "Relation Name" in node:
            rows = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
            read += round(rows * node["Actual Loops"])
    pages = sum(each["Plan"]["Shared Hit Blocks"] + each["Plan"]["Shared Read Blocks"] for each in explained)
    given = sum(round(each["Plan"]["Actual Rows"]) for each in explained)
    ms = max((each["Execution Time"] + each["Planning Time"] for each in explained), default=0.0)
    return Plan(sorted(indexes), sorted(whole), read, given, pages, round(ms, 2))


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for below in plan.get("Plans", ()):
        yield from nodes(below)
