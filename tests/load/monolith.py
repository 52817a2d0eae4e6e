"""What Daybook is compared with: the plain synchronous monolith that one would write instead.

One process, one Postgres, one transaction an order. It takes the same body by the same rules, and its 201 promises more
than Daybook's 202: receipt, event and read row are all on the disk. It does less, too: it seals no personal data, gives
no positions without gaps, has no other readers. `POST /nothing` reads a body and does nothing: what the load client
reaches there is what it can measure.

    MONOLITH_DSN=... MONOLITH_KEY=... python -m tests.load.monolith <port>
"""

import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec
import uvicorn
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException

from common.codec import CommandCodec
from common.context import Known
from common.messages import Rejected
from common.personal import Personal
from contexts.order.commands import PlaceOrder
from contexts.order.decider import TRUSTED, Order, decide
from projectors.orders import OrderRow, placed

CONNECTIONS = 16
PRINCIPAL = "replay"
SCHEMA = """
CREATE TABLE receipts (
    principal text NOT NULL, command_id text NOT NULL, hash text NOT NULL, state text NOT NULL, type text NOT NULL,
    key text NOT NULL, version bigint NOT NULL, accepted_at timestamptz NOT NULL, PRIMARY KEY (principal, command_id)
);
CREATE TABLE events (
    position bigserial PRIMARY KEY, stream text NOT NULL, version bigint NOT NULL, type text NOT NULL,
    data text NOT NULL, command_id text NOT NULL, principal text NOT NULL, recorded_at timestamptz NOT NULL,
    UNIQUE (stream, version)
);
CREATE TABLE orders (
    order_id text PRIMARY KEY, customer_id text NOT NULL, site text NOT NULL, channel text NOT NULL,
    currency text NOT NULL, state text NOT NULL, total bigint NOT NULL, units bigint NOT NULL, lines jsonb NOT NULL,
    payment_method text NOT NULL, placed_at timestamptz NOT NULL, cancelled_at timestamptz, cancel_reason text
);
CREATE INDEX ON orders (placed_at DESC, order_id DESC);
CREATE INDEX ON orders (customer_id, placed_at DESC, order_id DESC);
CREATE INDEX ON orders (site, placed_at DESC, order_id DESC);
"""
RECEIPT = "INSERT INTO receipts VALUES ($1, $2, $3, 'accepted', 'PlaceOrder', $4, 1, $5)"
EVENT = """INSERT INTO events (stream, version, type, data, command_id, principal, recorded_at)
    VALUES ($1, 1, 'OrderPlaced', $2, $3, $4, $5)"""
ROW = "INSERT INTO orders VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)"
AT_ONCE = """
WITH receipt AS (INSERT INTO receipts VALUES ($1, $2, $3, 'accepted', 'PlaceOrder', $4, 1, $5)),
event AS (INSERT INTO events (stream, version, type, data, command_id, principal, recorded_at)
    VALUES ($4, 1, 'OrderPlaced', $6, $2, $1, $5))
INSERT INTO orders VALUES ($7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19)
"""

Write = Callable[[Any, list[Any], str, list[Any]], Awaitable[None]]

codec = CommandCodec(PlaceOrder)


def plain(value: Any) -> Any:
    """Personal data as it is: nothing here is sealed."""
    assert isinstance(value, Personal)
    return value.value


encoder = msgspec.json.Encoder(enc_hook=plain)


def row_of(row: OrderRow) -> list[Any]:
    return [
        encoder.encode(value).decode() if isinstance(value, tuple) else value for value in msgspec.structs.astuple(row)
    ]


@post("/orders")
async def place_order(request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """The plain way: a transaction of three statements."""
    return await placing(request, state, in_a_transaction)


@post("/orders/at-once")
async def place_order_at_once(request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """The same transaction as one statement: one round trip, for who has taken that trouble."""
    return await placing(request, state, at_once)


async def placing(request: Request[Any, Any, State], state: State, write: Write) -> Response[bytes]:
    """Decides an order and writes all of it in one transaction."""
    if request.headers.get("authorization") != state.authorization:
        raise NotAuthorizedException
    command_id = order_id = uuid4().hex
    now = datetime.now(UTC)
    try:
        command: Any = codec.decode(order_id, await request.body())
        event: Any = decide(command, Order(), Known(now, PRINCIPAL, frozenset({TRUSTED})))[0]
    except Rejected as rejected:
        return Response(msgspec.json.encode({"code": rejected.code, "detail": str(rejected)}), status_code=400)
    data, row = encoder.encode(event).decode(), row_of(placed(order_id, event))
    await write(state.pool, [PRINCIPAL, command_id, codec.hash(command), order_id, now], data, row)
    answer = {"command_id": command_id, "key": order_id, "state": "accepted"}
    return Response(msgspec.json.encode(answer), headers={"location": f"/orders/{order_id}"})


async def in_a_transaction(pool: Any, receipt: list[Any], data: str, row: list[Any]) -> None:
    principal, command_id, _, order_id, now = receipt
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(RECEIPT, *receipt)
        await connection.execute(EVENT, order_id, data, command_id, principal, now)
        await connection.execute(ROW, *row)


async def at_once(pool: Any, receipt: list[Any], data: str, row: list[Any]) -> None:
    await pool.execute(AT_ONCE, *receipt, data, *row)


@post("/nothing")
async def nothing(request: Request[Any, Any, State]) -> Response[bytes]:
    await request.body()
    return Response(b"{}")


@asynccontextmanager
async def database(app: Litestar) -> AsyncIterator[None]:
    app.state.authorization = f"Bearer {os.environ['MONOLITH_KEY']}"
    async with asyncpg.create_pool(
        os.environ["MONOLITH_DSN"], min_size=CONNECTIONS, max_size=CONNECTIONS, server_settings={"jit": "off"}
    ) as pool:
        app.state.pool = pool
        await pool.execute(SCHEMA)
        yield


app = Litestar(
    [place_order, place_order_at_once, nothing], lifespan=[database], openapi_config=None, logging_config=None
)

if __name__ == "__main__":
    uvicorn.run(
        app, port=int(sys.argv[1]), loop="uvloop", http="httptools", access_log=False, log_level="warning", ws="none"
    )
