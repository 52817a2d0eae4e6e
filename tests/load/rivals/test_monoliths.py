"""The monoliths do all the work that they are compared for, and refuse what Daybook refuses."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct

from common.servers.files import free_port
from tests.load.closed_loop import closed_loop, post_request
from tests.load.rivals.over_http import KEY
from tests.load.rivals.placing import TABLES
from tests.load.rivals.system import start_postgres, start_servers, supervised
from tests.load.wire import open_line
from tests.servers import temporary_data

LINE = {"sku": "1", "quantity": 3, "amount": 1000, "department": "DAIRY"}
HOME = {"name": "A", "street": "B", "city": "C", "postal_code": "D", "country": "US"}
ORDER: dict[str, Any] = {
    "customer_id": "h1",
    "site": "s1",
    "deliver_to": HOME,
    "payment_method": "pm_ok",
    "currency": "USD",
    "lines": [LINE],
}
WAYS = {"monolith": "/orders", "monolith, one statement": "/orders/at-once", "group_commit": "/orders"}


class Shops(Struct):
    """Both monoliths on one Postgres."""

    ports: dict[str, int]
    database: Any

    async def counts(self) -> list[int]:
        return [await self.database.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES]


@pytest_asyncio.fixture(scope="module")
async def shops() -> AsyncIterator[Shops]:
    with temporary_data() as data:
        async with supervised(data) as supervisor:
            dsn, ports = await start_postgres(supervisor, data), {}
            for name in ("monolith", "group_commit"):
                ports[name] = free_port()
                await start_servers(supervisor, name, f"tests.load.rivals.{name}", ports[name], dsn, KEY)
            database = await asyncpg.connect(dsn)
            yield Shops(ports, database)
            await database.close()


def body(**changed: Any) -> bytes:
    return msgspec.json.encode(ORDER | changed)


async def statuses(port: int, request: bytes, times: int = 1) -> list[int]:
    """Sends the same request over so many connections at once."""
    lines = [await open_line("127.0.0.1", port) for _ in range(times)]
    replies = await asyncio.gather(*(line.ask(request) for line in lines))
    for line in lines:
        line.close()
    return [reply.status for reply in replies]


@pytest.mark.parametrize("way", WAYS)
async def test_each_order_is_a_receipt_an_event_and_a_row_when_it_is_answered(shops: Shops, way: str) -> None:
    before = await shops.counts()
    request = post_request(WAYS[way], KEY, body())
    run = await closed_loop(shops.ports[way.split(",")[0]], [request], 20, 0.2)
    assert (set(run.statuses), run.accepted > 0) == ({201}, True)
    assert [now - old for now, old in zip(await shops.counts(), before, strict=True)] == [run.accepted] * 3
    row = await shops.database.fetchrow("SELECT state, total, units, lines FROM orders LIMIT 1")
    assert tuple(row)[:3] == ("placed", 1000, 3)
    assert msgspec.json.decode(row["lines"])[0]["sku"] == "1"


@pytest.mark.parametrize("name", ["monolith", "group_commit"])
@pytest.mark.parametrize(
    "changed",
    [
        {"currency": "usd"},
        {"colour": "red"},
        {"lines": [LINE, LINE]},
        {"lines": [LINE | {"quantity": -1}]},
        {"at": "1999-12-31T00:00:00Z"},
    ],
)
async def test_what_daybook_refuses_is_refused_and_not_written(
    shops: Shops, name: str, changed: dict[str, Any]
) -> None:
    before = await shops.counts()
    assert 400 <= (await statuses(shops.ports[name], post_request("/orders", KEY, body(**changed))))[0] < 500
    assert await shops.counts() == before


@pytest.mark.parametrize("name", ["monolith", "group_commit"])
async def test_an_unknown_key_is_refused(shops: Shops, name: str) -> None:
    assert await statuses(shops.ports[name], post_request("/orders", "another", body())) == [401]


async def test_one_that_postgres_refuses_does_not_spoil_those_that_share_its_batch(shops: Shops) -> None:
    port, before = shops.ports["group_commit"], await shops.counts()
    assert await statuses(port, keyed("twice", body())) == [201]
    good, other = post_request("/orders", KEY, body()), keyed("twice", body(site="s2"))
    together = await asyncio.gather(statuses(port, good, 30), statuses(port, other, 3), statuses(port, good, 30))
    assert list(together) == [[201] * 30, [422] * 3, [201] * 30]
    assert [now - old for now, old in zip(await shops.counts(), before, strict=True)] == [61] * 3


async def test_a_repeated_order_of_the_group_commit_monolith_is_one_order(shops: Shops) -> None:
    before = await shops.counts()
    assert await statuses(shops.ports["group_commit"], keyed("again", body()), 5) == [201] * 5
    assert [now - old for now, old in zip(await shops.counts(), before, strict=True)] == [1] * 3


async def test_concurrent_orders_share_a_statement(shops: Shops) -> None:
    """Rows of one statement carry the number of one transaction."""
    await closed_loop(shops.ports["group_commit"], [post_request("/orders", KEY, body(site="shared"))], 64, 0.2)
    orders, transactions = await shops.database.fetchrow(
        "SELECT count(*), count(DISTINCT xmin::text) FROM orders WHERE site = 'shared'"
    )
    assert orders > 5 * transactions


def keyed(command_id: str, order: bytes) -> bytes:
    return post_request("/orders", KEY, order).replace(
        b"\r\n\r\n", f"\r\nIdempotency-Key: {command_id}\r\n\r\n".encode(), 1
    )
