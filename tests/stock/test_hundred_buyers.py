"""A hundred buyers and ten items, through the bus and the worker: exactly ten are served."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import asyncpg
import nats
import pytest_asyncio
from msgspec.structs import replace

from common.bus.denials import Denials
from common.client import Client, connect
from common.config import Settings
from common.recorded import Receipt
from common.shell.context_process import run_contexts
from contexts.stock.commands import Goods, ReceiveStock
from contexts.stock.wiring import CONTEXT as STOCK
from tests.servers import TEST_USER, until
from tests.stock import reserve

ROLES = {"warehouse": frozenset({"warehouse"}), "order": frozenset({"reaction"})}
SITE, BUYERS, ITEMS = "springfield", 100, 10


@pytest_asyncio.fixture
async def doors(provisioned: Settings) -> AsyncIterator[tuple[Client, Client]]:
    """The warehouse, and order, whose reactions ask for goods; while stock runs."""
    assert STOCK.snapshot
    often = replace(STOCK, snapshot=replace(STOCK.snapshot, every=20))
    running = asyncio.create_task(run_contexts(provisioned, [often], ROLES))
    async with AsyncExitStack() as stack:
        password = provisioned.password("warehouse")
        warehouse = await stack.enter_async_context(connect(provisioned.nats_url, "warehouse", password, within=30))
        # A reaction hears no receipts: it asks for them, and is answered in its own inbox alone.
        nc = await nats.connect(
            provisioned.nats_url,
            user=TEST_USER,
            password=provisioned.password(TEST_USER),
            inbox_prefix=b"_INBOX.order",
        )
        stack.push_async_callback(nc.close)
        yield warehouse, Client(nc, "order", Denials())
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)


async def test_of_100_who_want_one_of_10_at_once_exactly_10_get_one(
    doors: tuple[Client, Client], provisioned: Settings
) -> None:
    warehouse, order = doors
    received = await warehouse.wait(await warehouse.send(ReceiveStock(SITE, (Goods("bread", ITEMS),))))
    assert received.state == "accepted"
    receipts = await asyncio.gather(*(buy(order, n) for n in range(BUYERS)))
    assert {receipt.state for receipt in receipts} == {"accepted"}
    page = await warehouse.ask_named("StockHistory", {"stream": SITE, "limit": 1000})
    types = Counter(event["type"] for event in page["events"])
    assert types == {"StockReceived": 1, "StockReserved": ITEMS, "ReservationRefused": BUYERS - ITEMS}
    state = (await warehouse.ask_named("StockAsOf", {"stream": SITE}))["state"]
    assert (state["on_hand"], len(state["reservations"])) == ({"bread": ITEMS}, ITEMS)
    await until(lambda: has_snapshot(provisioned), what="the process to take a snapshot of the site")


async def has_snapshot(settings: Settings) -> bool:
    connection = await asyncpg.connect(settings.write_dsn("stock"))
    try:
        return await connection.fetchval("SELECT version FROM stock.snapshots WHERE stream = $1", SITE) is not None
    finally:
        await connection.close()


async def buy(order: Client, n: int) -> Receipt:
    return await order.wait(await order.send(reserve(f"o{n}", bread=1)))
