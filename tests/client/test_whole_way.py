"""The whole system from outside: by HTTP, by NATS, from the terminal. One system for all of these tests."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result

from common.bus.denials import NotPermitted
from common.client import Client, Sent, body_of, connect
from common.questions import QueryRefused
from common.recorded import COMMAND_ID_HEADER, VERSION, VERSION_HEADER
from contexts.order.commands import CancelOrder, PlaceOrder
from contexts.product.commands import AddProduct, ChangePrice
from gateway.cli import baskets
from gateway.cli import daybook as cli
from gateway.cli.baskets import NOBODY
from projectors.orders import GetOrder
from tests.baskets import some_basket
from tests.client.doors import door
from tests.gateway.test_input import REFUSED, TAKEN
from tests.servers import System, until
from tests.short_year import short_files


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def storefront(system: System) -> AsyncIterator[Client]:
    async with connect(system.settings.nats_url, "storefront", system.settings.password("storefront")) as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    async with door(system, "storefront") as client:
        yield client


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def sku(system: System, http: httpx.AsyncClient) -> str:
    """A product that is sold for 129, also by order's own price list."""
    operator = {"X-API-Key": system.settings.api_key("operator"), "Prefer": "wait=30"}
    sku = uuid4().hex[:12]
    answer = await http.post("/products", json=AddProduct.declared.example | {"sku": sku}, headers=operator)
    assert answer.status_code == 200, answer.text

    async def listed() -> bool:
        return (await http.post("/orders", json=order(sku), headers={"Prefer": "wait=30"})).status_code == 200

    await until(listed)
    return sku


def order(sku: str, **fields: Any) -> dict[str, Any]:
    return PlaceOrder.declared.example | {"lines": [{"sku": sku, "quantity": 2, "unit_price": 129}]} | fields


async def test_an_order_by_http_is_accepted_visible_and_remembered(http: httpx.AsyncClient, sku: str) -> None:
    key = uuid4().hex
    answer = await http.post("/orders", json=order(sku), headers={"Prefer": "wait=30", "Idempotency-Key": key})
    assert (answer.status_code, answer.json()["state"]) == (200, "accepted")
    path = f"/orders/{answer.json()['key']}"

    async def visible() -> bool:
        return (await http.get(path)).status_code == 200

    await until(visible)
    shown = (await http.get(path)).json()
    assert (shown["total"], shown["units"]) == (258, 2)
    again = await http.post("/orders", json=order(sku), headers={"Prefer": "wait=30", "Idempotency-Key": key})
    assert again.json() == answer.json()
    other = await http.post("/orders", json=order(sku, site="9"), headers={"Idempotency-Key": key})
    assert other.status_code == 422
    history = (await http.get(f"{path}/history")).json()
    assert [event["type"] for event in history["events"]].count("OrderPlaced") == 1
    assert (await http.get(path, params={"as_of": "1"})).json()["version"] == 1
    assert (await http.get(path, params={"as_of": "99"})).status_code == 404
    assert (await http.get(path, params={"as_of": "soon"})).status_code == 400
    assert (await http.get(f"/commands/order/{key}")).json()["state"] == "accepted"


async def test_a_refusal_by_http_is_409_with_the_rule_and_the_present_price(http: httpx.AsyncClient, sku: str) -> None:
    wrong = order(sku, lines=[{"sku": sku, "quantity": 1, "unit_price": 1}])
    answer = await http.post("/orders", json=wrong, headers={"Prefer": "wait=30"})
    assert (answer.status_code, answer.json()["code"]) == (409, "order.price-changed")
    assert answer.json()["rule"]["price"] == 129


async def test_an_order_by_nats_has_the_same_life(storefront: Client, sku: str) -> None:
    command = msgspec.convert(order(sku, order_id=uuid4().hex), PlaceOrder)
    async with storefront.watch() as receipts:
        sent = await storefront.send(command)
        receipt = await storefront.wait(sent)
        async for watched in receipts:
            if watched.command_id == sent.command_id:
                break
    assert receipt == watched
    assert (receipt.state, receipt.version, receipt.key) == ("accepted", 1, command.order_id)
    assert await storefront.receipt("order", sent.command_id) == receipt

    async def visible() -> bool:
        try:
            return bool((await storefront.ask(GetOrder(command.order_id)))["total"] == 258)
        except QueryRefused as refused:
            assert refused.status == 404
            return False

    await until(visible)


async def test_the_same_id_again_is_the_same_receipt_and_another_body_is_refused(storefront: Client) -> None:
    cancel = CancelOrder(uuid4().hex, "x")
    first = await storefront.wait(await storefront.send(cancel, command_id=(name := uuid4().hex)))
    assert (first.state, first.code) == ("rejected", "order.unknown")
    assert await storefront.wait(await storefront.send(cancel, command_id=name)) == first
    other = await storefront.wait(await storefront.send(CancelOrder(cancel.order_id, "other"), command_id=name))
    assert (other.state, other.code) == ("rejected", "command-id-used")
    assert await storefront.receipt("order", name) == first


async def test_a_batch_is_sent_in_order_and_every_command_is_answered(replay: Client) -> None:
    basket = some_basket()
    orders = [msgspec.structs.replace(basket, order_id=uuid4().hex) for _ in range(300)]
    sent = await replay.send_many(orders)
    assert [each.sequence for each in sent] == sorted(each.sequence for each in sent)
    receipts = await asyncio.gather(*(replay.wait(each) for each in sent))
    assert {receipt.state for receipt in receipts} == {"accepted"}
    assert sorted(r.position for r in receipts) == list(range(receipts[0].position, receipts[0].position + 300))


async def test_an_expected_version_that_is_not_the_present_one_is_refused(replay: Client) -> None:
    basket = some_basket()
    receipt = await replay.wait(await replay.send(basket, expected_version=3))
    assert receipt.state == "rejected"
    receipt = await replay.wait(await replay.send(basket, expected_version=0))
    assert receipt.state == "accepted"


async def test_a_command_of_another_role_does_not_even_reach_the_stream(storefront: Client) -> None:
    with pytest.raises(NotPermitted):
        await storefront.send(ChangePrice("p1", 1))
    with pytest.raises(NotPermitted):
        await storefront.ask_named("Nothing", {})


async def test_nobody_publishes_as_another_nor_events(system: System, storefront: Client) -> None:
    password = system.settings.password("storefront")
    async with connect(system.settings.nats_url, "storefront", password) as mallory:
        mallory.principal = "replay"
        with pytest.raises(NotPermitted):
            await mallory.send(some_basket())
        mallory.principal = "storefront"
        event = "event.order.OrderPlaced.x"
        with pytest.raises(NotPermitted), mallory.errors.heard(event):
            await mallory._batches.publish(event, {VERSION_HEADER: VERSION}, b"{}")


@pytest.mark.parametrize("name", [*REFUSED, *TAKEN])
async def test_both_doors_give_the_same_verdict(http: httpx.AsyncClient, storefront: Client, name: str) -> None:
    body, key = (REFUSED | TAKEN)[name], uuid4().hex
    headers = {"content-type": "application/json", "prefer": "wait=30"}
    answer = await http.post(f"/orders/{key}", content=body, headers=headers)
    receipt = await storefront.wait(await storefront.send_named("order", "PlaceOrder", f"{key}n", body))
    assert receipt.state == "rejected"
    expected = {"malformed": 400}.get(receipt.code, 409)
    assert (answer.status_code, answer.json()["code"]) == (expected, receipt.code)
    assert (name in REFUSED) == (expected == 400)


async def test_a_body_over_64_kib_is_refused_at_both_doors(http: httpx.AsyncClient, storefront: Client) -> None:
    body = b" " * (64 * 1024) + b"{}"
    answer = await http.post("/orders", content=body, headers={"content-type": "application/json"})
    receipt = await storefront.wait(await storefront.send_named("order", "PlaceOrder", uuid4().hex, body))
    assert (answer.status_code, receipt.state) == (413, "rejected")
    assert answer.json()["code"] == receipt.code == "too-large"


async def test_bare_nats_needs_two_headers_and_nothing_else(storefront: Client) -> None:
    name = uuid4().hex
    headers = {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: name}
    subject = f"command.storefront.order.{uuid4().hex}.CancelOrder"
    await storefront._nc.jetstream().publish(subject, b'{"reason":"x"}', headers=headers)
    receipt = await storefront.wait(Sent("order", subject.split(".")[3], name, 0))
    assert (receipt.state, receipt.code) == ("rejected", "order.unknown")


async def test_the_lag_names_every_model_and_every_living_process(http: httpx.AsyncClient, sku: str) -> None:
    async def caught_up() -> bool:
        found = (await http.get("/consistency-lag")).json()
        models = {each["model"]: each for each in found["read_models"]}
        kinds = {each["kind"] for each in found["processes"] if each["state"] == "live"}
        return (
            {"orders", "products"} <= set(models)
            and {"gateway", "projector"} <= kinds
            and all(each["events"] == 0 and each["ms"] == 0 for each in models.values())
            and models["orders"]["head"] == models["orders"]["projected"] > 0
        )

    await until(caught_up)


def run(system: System, *words: str, given: str | None = None) -> Result:
    """The command `daybook` on this system."""
    env = {"DAYBOOK_DATA": str(system.settings.data), "DAYBOOK_HTTP_PORT": str(system.settings.http_port)}
    return CliRunner().invoke(cli, words, input=given, env=env, catch_exceptions=False)


def test_the_terminal_sends_and_shows_the_receipt(system: System) -> None:
    basket = some_basket()
    body = body_of(basket).decode()
    done = run(system, "send", "order", "PlaceOrder", basket.order_id, body, "--as", "replay", "--json")
    assert done.exit_code == 0, done.output
    assert msgspec.json.decode(done.stdout)["state"] == "accepted"
    again = run(system, "send", "order", "PlaceOrder", basket.order_id, "-", "--as", "replay", given=body)
    assert again.exit_code == 1
    assert "order.already-placed" in again.stdout
    question = ("ask", "OrderHistory", f'{{"stream": "{basket.order_id}"}}', "--json")
    shown = [msgspec.json.decode(run(system, *question, "--as", who).stdout) for who in ("operator", "storefront")]
    addresses = [history["events"][0]["data"]["deliver_to"] for history in shown]
    assert (addresses[0]["name"], set(addresses[1])) == (NOBODY.name, {"person", "sealed"})


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("send", "order", "CancelOrder", "o1", "{bad"), "this is not JSON"),
        (("send", "order", "CancelOrder", "o.1", "{}"), "must be 1 to 64"),
        (("send", "product", "ChangePrice", "p1", '{"price": 1}'), "storefront may not send ChangePrice to product"),
        (("ask", "GetOrder", '{"order_id": "none"}'), "there is nothing of this name"),
        (("ask", "GetOrder", '{"id": "none"}'), "unknown field"),
        (("ask", "GetOrder", "--as", "nobody"), "DAYBOOK_CREDENTIALS"),
    ],
)
def test_what_goes_wrong_in_the_terminal_is_one_line(system: System, words: tuple[str, ...], said: str) -> None:
    try:
        done = run(system, *words)
    except Exception as error:  # `main` prints it.
        assert said in str(error)
        return
    assert done.exit_code == 1
    assert said in done.stderr and len(done.stderr.strip().splitlines()) == 1


def test_the_first_baskets_are_played_once_and_equal_the_file_by_either_door(
    system: System, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = short_files(tmp_path / "year", 60)
    monkeypatch.setattr(baskets, "data_folder", lambda: files)
    for via, number, sent in (("http", 30, 30), ("http", 30, 0), ("nats", 50, 20), ("nats", 50, 0)):
        done = run(system, "replay", "--baskets", str(number), "--via", via, "--json")
        assert done.exit_code == 0, done.output
        played = msgspec.json.decode(done.stdout)
        assert (played["sent"], played["skipped"]) == (sent, number - sent)
        assert played["found"]["differences"] == []
        assert played["found"]["compared"][0]["views"][""][0] == number
