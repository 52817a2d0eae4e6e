"""What the read tables say of the orders of a year, asked while they come about and once they have."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

import asyncpg
from msgspec import Struct

AT_ONCE = 5_000
AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError)
"""The server is away, or its tables are: both come back by themselves."""

STANDINGS = """
SELECT o.order_id, o.state, o.paid = o.total, d.state
FROM read.orders AS o LEFT JOIN read.deliveries AS d USING (order_id) WHERE o.order_id = ANY($1)
"""
ORDERS = """
SELECT order_id, state, total, paid - refunded, units, jsonb_array_length(lines), refunded, coalesce(cancel_cause, '')
FROM read.orders WHERE channel = $1
"""
STOCK = """
SELECT site, l.on_hand, m.moved, l.reserved
FROM (SELECT site, sum(on_hand)::bigint AS on_hand, sum(reserved)::bigint AS reserved FROM read.stock_levels
    GROUP BY site) AS l
FULL JOIN (SELECT site, sum(moved)::bigint AS moved FROM read.closing_stock GROUP BY site) AS m USING (site)
"""


class Standing(Struct, frozen=True):
    """How an order stands. `parcel` is the state of its delivery, None before there is one."""

    order_id: str
    state: str
    is_paid: bool
    parcel: str | None


class Views:
    """A connection to the read database, made anew when it is lost."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._connection: Any = None
        self._turn = asyncio.Lock()
        self.trouble = ""

    async def standings(self, ids: Sequence[str]) -> list[Standing]:
        """How those of these orders stand that can be seen. While the views are away that is none, and a `trouble`."""
        async with self._turn:
            try:
                rows = await (await self._connected()).fetch(STANDINGS, ids)
            except AWAY as error:
                self.trouble = str(error) or type(error).__name__
                self.close()
                return []
        self.trouble = ""
        return [Standing(*row) for row in rows]

    async def orders(self, channel: str) -> AsyncIterator[list[Any]]:
        """Of every order of a channel: id, state, total, paid and not paid back, units, number of lines, what was paid
        back, and why it was cancelled: "" when it was not."""
        async with self._turn:
            connection = await self._connected()
            async with connection.transaction():
                cursor = await connection.cursor(ORDERS, channel)
                while rows := await cursor.fetch(AT_ONCE):
                    yield rows

    async def stock(self) -> dict[str, tuple[int, ...]]:
        """By site: pieces on hand, on hand when the last day ended, and set aside."""
        async with self._turn:
            rows = await (await self._connected()).fetch(STOCK)
        return {site: tuple(number or 0 for number in numbers) for site, *numbers in rows}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _connected(self) -> Any:
        if self._connection is None:
            # The tables grow while they are asked: a plan of when they were empty goes through all of them each time.
            settings = {"plan_cache_mode": "force_custom_plan"}
            self._connection = await asyncpg.connect(self._dsn, timeout=5, server_settings=settings)
        return self._connection
