"""What both monoliths do with an order: Daybook's own body and rules, and three rows, a receipt, an event and an order.

A 201 of theirs promises more than Daybook's 202: all three are on the disk, and the order is visible. They do less,
too: no personal data is sealed, positions have gaps, and nobody else can follow what happens.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from common.codec import CommandCodec
from common.context import Known
from common.personal import Personal
from contexts.order.commands import PlaceOrder
from contexts.order.decider import decide
from contexts.order.placing import TRUSTED
from contexts.order.state import Order
from projectors.orders import OrderRow, placed

PRINCIPAL = "replay"
TABLES = ("receipts", "events", "orders")
COLUMNS = (
    *("order_id", "customer_id", "site", "channel", "currency", "state", "total", "units", "lines"),
    *("payment_method", "placed_at", "cancelled_at", "cancel_reason"),
)
SCHEMA = """
CREATE TABLE IF NOT EXISTS receipts (
    principal text NOT NULL, command_id text NOT NULL, hash text NOT NULL, state text NOT NULL, type text NOT NULL,
    key text NOT NULL, version bigint NOT NULL, accepted_at timestamptz NOT NULL, PRIMARY KEY (principal, command_id)
);
CREATE TABLE IF NOT EXISTS events (
    position bigserial PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL, type text NOT NULL,
    data text NOT NULL, command_id text NOT NULL, principal text NOT NULL, recorded_at timestamptz NOT NULL,
    UNIQUE (stream, version)
);
CREATE TABLE IF NOT EXISTS orders (
    order_id text PRIMARY KEY, customer_id text NOT NULL, site text NOT NULL, channel text NOT NULL,
    currency text NOT NULL, state text NOT NULL, total bigint NOT NULL, units bigint NOT NULL, lines jsonb NOT NULL,
    payment_method text NOT NULL, placed_at timestamptz NOT NULL, cancelled_at timestamptz, cancel_reason text
);
CREATE INDEX IF NOT EXISTS newest ON orders (placed_at DESC, order_id DESC);
CREATE INDEX IF NOT EXISTS of_customer ON orders (customer_id, placed_at DESC, order_id DESC);
CREATE INDEX IF NOT EXISTS of_site ON orders (site, placed_at DESC, order_id DESC);
"""

codec = CommandCodec(PlaceOrder)


class Placed(Struct):
    """An order that the rules let pass, as it is written."""

    command_id: str
    order_id: str
    hash: str
    at: datetime
    data: str
    row: list[Any]


def place(command_id: str, order_id: str, body: bytes) -> Placed:
    """Decodes and decides. Raises `Rejected`, as Daybook would."""
    now = datetime.now(UTC)
    command: Any = codec.decode(order_id, body)
    event: Any = decide(command, Order(), Known(now, PRINCIPAL, frozenset({TRUSTED})))[0]
    row = row_of(placed(order_id, event))
    return Placed(command_id, order_id, codec.hash(command), now, encoder.encode(event).decode(), row)


def row_of(row: OrderRow) -> list[Any]:
    """What a shop keeps that takes orders and cancels them, and does nothing else with them."""
    values = (getattr(row, column) for column in COLUMNS)
    return [encoder.encode(value).decode() if isinstance(value, tuple) else value for value in values]


def plain(value: Any) -> Any:
    """Personal data as it is: nothing here is sealed."""
    assert isinstance(value, Personal)
    return value.value


encoder = msgspec.json.Encoder(enc_hook=plain)


def answer(order_id: str, command_id: str) -> bytes:
    return f'{{"command_id":"{command_id}","key":"{order_id}","state":"accepted"}}'.encode()


@asynccontextmanager
async def pool(dsn: str, connections: int) -> AsyncIterator[Any]:
    """Connections to the tables, which are made when they are not there."""
    async with asyncpg.create_pool(dsn, min_size=connections, max_size=connections) as made:
        async with made.acquire() as connection, connection.transaction():
            await connection.execute("SELECT pg_advisory_xact_lock(1)")
            await connection.execute(SCHEMA)
        yield made
