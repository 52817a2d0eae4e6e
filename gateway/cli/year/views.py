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
SELECT order_id, state, total, paid - refunded, units, jsonb_array_length(lines)
FROM read.orders WHERE channel = $1
"""
ON_HAND = "SELECT site, sum(on_hand)::bigint, sum(reserved)::bigint FROM read.stock_levels GROUP BY site"


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
        """Of every order of a channel: id, state, total, paid and not paid back, units, number of lines."""
        async with self._turn:
            connection = await self._connected()
            async with connection.transaction():
                cursor = await connection.cursor(ORDERS, channel)
                while rows := await cursor.fetch(AT_ONCE):
                    yield rows

    async def on_hand(self) -> dict[str, tuple[int, int]]:
        """By site: pieces on hand, and pieces set aside."""
        async with self._turn:
            rows = await (await self._connected()).fetch(ON_HAND)
        return {site: (there, aside) for site, there, aside in rows}

    def close(self) -> None:
        if self._connection is not None:
            self._connection.terminate()
            self._connection = None

    async def _connected(self) -> Any:
        if self._connection is None:
            self._connection = await asyncpg.connect(self._dsn, timeout=5)
        return self._connection
