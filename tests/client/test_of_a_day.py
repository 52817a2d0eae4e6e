"""Sales and stock of a business day, asked for by HTTP and by NATS alike."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime
from typing import Any
from uuid import uuid4

import httpx
import pytest
import pytest_asyncio

from common.client import Client
from common.questions import QueryRefused
from contexts.order.commands import Address, PlaceOrder, RequestedLine
from contexts.stock.commands import Goods, ReceiveStock
from projectors.closing_stock import GetClosingStock
from projectors.sales import GetSales
from tests.client.doors import door
from tests.servers import System, until

HOME = Address("Ada Miller", "12 Elm Street", "Springfield", "45501", "US")
SUNDAY = datetime(2017, 1, 1, 9, tzinfo=UTC)


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    async with door(system, "replay") as client:
        yield client


async def test_sales_of_a_day_are_told_the_same_at_both_doors(replay: Client, http: httpx.AsyncClient) -> None:
    """Nobody knows the customer: what was sold is cancelled, on the same business day."""
    lines = (RequestedLine("1", 2, 258, "DAIRY"), RequestedLine("2", 0, 0, "FUEL"))
    order = PlaceOrder(uuid4().hex, "nobody", "s1", HOME, "pm_ok", "USD", lines, "sales-test", SUNDAY)
    receipt = await replay.wait(await replay.send(order))
    assert receipt.state == "accepted"
    query = GetSales(by="department", since=date(2017, 1, 1), as_of=date(2017, 1, 1), channel="sales-test")
    parameters = {"by": "department", "since": "2017-01-01", "as_of": "2017-01-01", "channel": "sales-test"}

    async def told() -> list[dict[str, Any]]:
        answer = await http.get("/sales", params=parameters)
        assert answer.status_code == 200
        assert {"daybook-position", "daybook-staleness-ms"} <= set(answer.headers)
        sales: list[dict[str, Any]] = answer.json()["sales"]
        return sales

    async def cancelled() -> bool:
        return [each["cancelled_orders"] for each in await told()] == [1, 1]

    await until(cancelled)
    dairy, fuel = (await replay.ask(query))["sales"]
    assert [dairy, fuel] == await told()
    assert (dairy["name"], dairy["revenue"], dairy["cancelled"], dairy["net"]) == ("DAIRY", 258, 258, 0)
    assert (fuel["name"], fuel["orders"], fuel["units"], fuel["revenue"]) == ("FUEL", 1, 0, 0)
    assert (await http.get("/sales", params=parameters | {"as_of": "2016-12-31"})).json()["sales"] == []


async def test_stock_of_a_day_is_told_the_same_at_both_doors(replay: Client, http: httpx.AsyncClient) -> None:
    site = uuid4().hex
    receipt = await replay.wait(await replay.send(ReceiveStock(site, (Goods("1", 9),), SUNDAY)))
    assert receipt.state == "accepted"

    async def shown() -> bool:
        answer = (await http.get("/closing-stock/2017-01-01", params={"site": site})).json()
        return bool(answer["levels"] == [{"site": site, "sku": "1", "on_hand": 9}])

    await until(shown)
    told = await replay.ask(GetClosingStock(day=date(2017, 1, 1), site=site))
    assert (told["day"], told["levels"]) == ("2017-01-01", [{"site": site, "sku": "1", "on_hand": 9}])
    assert (await http.get("/closing-stock/2016-12-31", params={"site": site})).json()["levels"] == []


REFUSED = [
    ("/sales", "$.by", "by"),
    ("/sales?by=month", "$.by", "month"),
    ("/sales?by=day&since=yesterday", "$.since", ""),
    ("/sales?by=day&since=2017-02-30", "$.since", ""),
    ("/sales?by=day&limit=501", "$.limit", "500"),
    ("/sales?by=day&limit=0", "$.limit", "1"),
    ("/sales?by=day&currency=usd", "$.currency", ""),
    ("/sales?by=product&site=s1", "$.site", "product"),
    ("/sales?by=site&sku=1", "$.sku", "product"),
    ("/sales?by=site&after=x", "$.after", "page"),
    ("/closing-stock/2017-01-01", "$.site", "named"),
    ("/closing-stock/sunday?site=s1", "$.day", ""),
    ("/closing-stock/2017-01-01?site=s1&after=x", "$.after", "page"),
]


@pytest.mark.parametrize(("path", "field", "rule"), REFUSED)
async def test_what_cannot_be_answered_is_refused_with_the_field_and_the_rule(
    http: httpx.AsyncClient, path: str, field: str, rule: str
) -> None:
    answer = await http.get(path)
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["field"]) == (400, "malformed", field)
    assert rule in problem["rule"]


async def test_the_rules_are_the_same_by_nats(replay: Client) -> None:
    with pytest.raises(QueryRefused) as refused:
        await replay.ask(GetSales(by="product", site="s1"))
    assert refused.value.status == 400
