"""The plain synchronous monolith that one would write instead: one process, one Postgres, a transaction an order.

    python -m tests.load.rivals.monolith <port> <dsn> <key>

`/orders` writes three statements in a transaction, the plain way. `/orders/at-once` makes the same transaction of one
statement, which is one round trip, for who has taken that trouble.
"""

import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
from litestar import Litestar, Request, Response, post
from litestar.datastructures import State
from litestar.exceptions import NotAuthorizedException

from common.messages import Rejected
from tests.load.rivals.placing import PRINCIPAL, Placed, answer, place, pool
from tests.load.rivals.served import serve

CONNECTIONS = 16
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

Write = Callable[[Any, Placed], Awaitable[None]]


@post("/orders")
async def place_order(request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """The plain way: a transaction of three statements."""
    return await placing(request, state, in_a_transaction)


@post("/orders/at-once")
async def place_order_at_once(request: Request[Any, Any, State], state: State) -> Response[bytes]:
    """The same transaction as one statement."""
    return await placing(request, state, at_once)


async def placing(request: Request[Any, Any, State], state: State, write: Write) -> Response[bytes]:
    """Decides an order and writes all of it in one transaction."""
    if request.headers.get("authorization") != state.authorization:
        raise NotAuthorizedException
    command_id = order_id = uuid4().hex
    try:
        order = place(command_id, order_id, await request.body())
    except Rejected as rejected:
        return Response(msgspec.json.encode({"code": rejected.code, "detail": str(rejected)}), status_code=400)
    await write(state.pool, order)
    return Response(answer(order_id, command_id), headers={"location": f"/orders/{order_id}"})


async def in_a_transaction(pool: Any, order: Placed) -> None:
    async with pool.acquire() as connection, connection.transaction():
        await connection.execute(RECEIPT, PRINCIPAL, order.command_id, order.hash, order.order_id, order.at)
        await connection.execute(EVENT, order.order_id, order.data, order.command_id, PRINCIPAL, order.at)
        await connection.execute(ROW, *order.row)


async def at_once(pool: Any, order: Placed) -> None:
    receipt = (PRINCIPAL, order.command_id, order.hash, order.order_id, order.at)
    await pool.execute(AT_ONCE, *receipt, order.data, *order.row)


def application(dsn: str, key: str) -> Litestar:
    @asynccontextmanager
    async def database(app: Litestar) -> AsyncIterator[None]:
        app.state.authorization = f"Bearer {key}"
        async with pool(dsn, CONNECTIONS) as app.state.pool:
            yield

    return Litestar([place_order, place_order_at_once], lifespan=[database], openapi_config=None, logging_config=None)


if __name__ == "__main__":
    serve(application(*sys.argv[2:]), int(sys.argv[1]))
