"""The record from outside: history and folds of products by their SKU, and what became of an order, hop by hop."""

import asyncio
import re
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import pytest_asyncio
from click.testing import CliRunner

from common.bus.connect import connect as connect_bus
from common.client import Client
from common.discovery import contexts
from common.recorded import (
    CAUSATION_HEADER,
    COMMAND_ID_HEADER,
    CORRELATION_HEADER,
    VERSION,
    VERSION_HEADER,
    derived_id,
)
from contexts.customer.commands import RegisterCustomer
from contexts.order.commands import CancelOrder, RequestedLine
from contexts.product.commands import AddProduct
from gateway.cli import daybook as cli
from gateway.cli import follow
from projectors.orders import GetOrder
from tests.baskets import some_basket
from tests.client.doors import door
from tests.servers import System, until


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    async with door(system, "operator") as client:
        yield client


async def a_product(http: httpx.AsyncClient, *prices: int) -> tuple[str, dict[str, str]]:
    """The SKU of a new product that has had these prices, and the header that shows the last of them."""
    sku = uuid4().hex[:12]
    body, wait = AddProduct.declared.example | {"sku": sku, "price": prices[0]}, {"Prefer": "wait=30"}
    added = (await http.post("/products", json=body, headers=wait)).json()
    for price in prices[1:]:
        answer = await http.post(f"/products/{added['key']}/price", json={"price": price}, headers=wait)
        assert answer.status_code == 200, answer.text
        added = answer.json()
    return sku, {"Daybook-After": f"product={added['position']}", **wait}


async def test_a_product_is_folded_by_its_sku_as_of_any_version_and_time_and_now(http: httpx.AsyncClient) -> None:
    sku, after = await a_product(http, 100, 110, 120)
    table = (await http.get(f"/products/{sku}", headers=after)).json()
    history = (await http.get(f"/products/{sku}/history", headers=after)).json()
    assert [(each["version"], each["data"]["product"]["price"]) for each in history["events"]] == [
        (1, 100),
        (2, 110),
        (3, 120),
    ]
    at_2 = (await http.get(f"/products/{sku}", params={"as_of": "2"})).json()
    now = (await http.get(f"/products/{sku}", params={"as_of": "now"})).json()
    then = (await http.get(f"/products/{sku}", params={"as_of": history["events"][1]["recorded_at"]})).json()
    assert (at_2["state"]["price"], then["state"]["price"], now["state"]["price"]) == (110, 110, 120)
    assert (now["version"], table["version"], table["price"]) == (3, 3, 120)
    assert {name: table[name] for name in now["state"]} == now["state"]


async def test_what_is_in_no_table_has_no_record_by_that_name(http: httpx.AsyncClient) -> None:
    for path in ("/products/none/history", "/products/none/timeline", "/products/none?as_of=now"):
        assert (await http.get(path)).json()["code"] == "not-found"
    assert (await http.get("/orders/none/timeline")).status_code == 404
    assert (await http.get("/orders/none/timeline?x=1")).json()["field"] == "x"


async def test_a_timeline_shows_commands_their_events_and_the_reactions_to_these(
    http: httpx.AsyncClient, replay: Client, system: System
) -> None:
    order = some_basket()
    sent = await replay.send(order)
    await replay.wait(sent)
    refused = await replay.wait(await replay.send(order))
    assert refused.state == "rejected"
    first = (await http.get(f"/orders/{order.order_id}/timeline")).json()
    placed, again = first["commands"]
    assert [each["type"] for each in placed["events"]] == ["OrderPlaced"]
    assert (again["code"], again["events"], first["missing"], first["cut"]) == ("order.already-placed", [], [], False)

    event = derived_id("replay", "order", sent.command_id, "0")
    caused = await reaction(system, "product", "AddProduct", order.order_id, event, sent.command_id)

    async def hops() -> list[dict[str, Any]]:
        line = (await http.get(f"/orders/{order.order_id}/timeline")).json()
        reactions = line["commands"][0]["events"][0]["caused"]
        return [each for each in reactions if each["command_id"] == caused]

    async def there() -> bool:
        return bool(await hops())

    await until(there)
    (hop,) = await hops()
    assert (hop["context"], hop["command_id"], hop["principal"]) == ("product", caused, "product")
    assert hop["waited_ms"] >= 0
    assert hop["state"] == "rejected"


async def reaction(system: System, context: str, kind: str, key: str, cause: str, correlation: str) -> str:
    """Sends a command as the context itself does, in reaction to an event; its id."""
    nc = await connect_bus(system.settings, f"context-{context}")
    command_id = derived_id(cause, kind, key)
    headers = {
        VERSION_HEADER: VERSION,
        COMMAND_ID_HEADER: command_id,
        CAUSATION_HEADER: cause,
        CORRELATION_HEADER: correlation,
    }
    await nc.request(f"command.{context}.{context}.{key}.{kind}", b"{}", headers=headers, timeout=10)
    await nc.close()
    return command_id


async def test_follow_shows_the_same_in_a_terminal(replay: Client, system: System) -> None:
    order = some_basket()
    await replay.wait(await replay.send(order))
    await replay.wait(await replay.send(CancelOrder(order.order_id, "changed my mind")))
    env = {"DAYBOOK_DATA": str(system.settings.data), "COLUMNS": "100"}
    run = await in_a_thread(["follow", order.order_id, "--once"], env)
    assert run.exit_code == 0, run.output
    words = [word for word in run.output.split() if word in ("PlaceOrder", "OrderPlaced", "CancelOrder")]
    assert words == ["PlaceOrder", "OrderPlaced", "CancelOrder"]
    assert "OrderCancelled" in run.output  # By the buyer or, if that was quicker, since nobody has registered them.
    plain = msgspec.json.decode((await in_a_thread(["follow", order.order_id, "--json"], env)).output)
    assert [each["type"] for each in plain["commands"]] == ["PlaceOrder", "CancelOrder"]
    assert (await in_a_thread(["follow", "none", "--once"], env)).exit_code == 1
    assert (await in_a_thread(["follow", "none", "--once", "--context", "x"], env)).exit_code == 1


async def test_whoever_follows_an_order_is_woken_by_what_others_do_to_it(
    http: httpx.AsyncClient, replay: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_AGAIN_S", 25.0)
    customer, order_id = uuid4().hex, uuid4().hex
    await replay.wait(await replay.send(RegisterCustomer(customer, "Ada", f"{customer}@example.org")))
    gift = RequestedLine("card", 0, amount=0, department="GIFTS")  # It needs no goods and no money.
    order = msgspec.structs.replace(some_basket(), order_id=order_id, customer_id=customer, lines=(gift,))
    sent = await replay.send(order)
    await replay.ask(GetOrder(order_id), 20, after=sent, until=["confirmed"])
    changes = follow._changes(replay, "order", order.order_id)
    await anext(changes)
    woken = asyncio.ensure_future(anext(changes))
    other = await replay.wait(await replay.send(some_basket()))
    assert (other.state, woken.done()) == ("accepted", False)
    cancelled = await http.post(f"/orders/{order.order_id}/cancel", json={"reason": "x"}, headers={"Prefer": "wait=20"})
    assert cancelled.status_code == 200, cancelled.text
    await asyncio.wait_for(woken, 20)
    await changes.aclose()
    shown = await follow._timeline(replay, "order", order.order_id)
    assert shown and [each.type for each in shown.commands] == ["PlaceOrder", "CancelOrder"]


async def test_whoever_follows_sees_a_command_of_their_own_that_changed_nothing(
    replay: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(follow, "LOOK_AGAIN_S", 25.0)
    order = some_basket()
    await replay.ask(GetOrder(order.order_id), 20, after=await replay.send(order))
    changes = follow._changes(replay, "order", order.order_id)
    await anext(changes)
    await replay.send(order)
    await asyncio.wait_for(anext(changes), 20)
    await changes.aclose()


async def test_what_is_read_from_the_record_says_where_it_ends_and_that_it_is_not_stale(
    http: httpx.AsyncClient,
) -> None:
    sku, after = await a_product(http, 100, 110)
    place = re.compile(r"product=[1-9]\d*@[0-9a-f]{8}")
    for path in (f"/products/{sku}/history", f"/products/{sku}?as_of=now"):
        headers = (await http.get(path, headers=after)).headers
        assert (bool(place.fullmatch(headers["daybook-position"])), headers["daybook-staleness-ms"]) == (True, "0")
    headers = (await http.get(f"/products/{sku}/timeline", headers=after)).headers
    places = [each.partition("=")[0] for each in headers["daybook-position"].split(", ")]
    assert (places, headers["daybook-staleness-ms"]) == (sorted(contexts()), "0")


async def test_an_expected_version_decides_who_was_first(http: httpx.AsyncClient) -> None:
    """Both read version 1 and change the price: the second is told the present version, and may look again."""
    sku, after = await a_product(http, 100)
    read = await http.get(f"/products/{sku}", headers=after)
    assert read.headers["etag"] == '"1"'
    change, wait = f"/products/{read.json()['product_id']}/price", {"Prefer": "wait=20"}
    mine, theirs = [
        await http.post(change, json={"price": price}, headers=wait | {"If-Match": '"1"'}) for price in (110, 120)
    ]
    assert (mine.status_code, mine.headers["etag"]) == (200, '"2"')
    problem = theirs.json()
    assert (theirs.status_code, problem["code"], problem["rule"]) == (412, "version-mismatch", {"version": 2})
    assert theirs.headers["etag"] == '"2"'
    late = await http.post(change, json={"price": 130}, headers={"If-Match": '"1"'})
    assert late.status_code == 202

    async def decided() -> bool:
        return (await http.get(late.headers["location"])).status_code == 200

    await until(decided)
    receipt = (await http.get(late.headers["location"])).json()
    assert (receipt["state"], receipt["code"]) == ("rejected", "version-mismatch")
    again = AddProduct.declared.example | {"sku": uuid4().hex[:12]}
    first = await http.post(f"/products/{uuid4().hex}", json=again, headers=wait | {"If-None-Match": "*"})
    twice = await http.post(f"/products/{first.json()['key']}", json=again, headers=wait | {"If-None-Match": "*"})
    assert (first.status_code, twice.status_code, twice.json()["code"]) == (200, 412, "version-mismatch")
    shown = (await http.get(f"/products/{sku}", headers={"Daybook-After": f"product={mine.json()['position']}"})).json()
    assert (shown["version"], shown["price"]) == (2, 110)


async def in_a_thread(words: list[str], env: dict[str, str]) -> Any:
    return await asyncio.to_thread(CliRunner().invoke, cli, words, env=env)
