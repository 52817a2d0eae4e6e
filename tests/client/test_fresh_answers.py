"""Reading one's own writes from outside: right the first time, over HTTP and NATS alike."""

import asyncio
import signal
from collections.abc import AsyncIterator
from typing import Any

import httpx
import msgspec
import pytest
import pytest_asyncio

from common.client import Client
from common.messages import Query
from common.questions import QueryRefused
from contexts.order.commands import CancelOrder
from projectors.orders import GetOrder, ListOrders
from tests.baskets import some_basket
from tests.client.doors import door
from tests.servers import System, running_system, temporary_data, until


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """Its contexts ask nothing of each other: an order changes only when we say so."""
    with temporary_data() as folder:
        async with running_system(folder, options=["--without-reactions"]) as found:
            yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    async with door(system, "replay") as client:
        yield client


async def place(http: httpx.AsyncClient) -> httpx.Response:
    """A 202: durable, and perhaps not decided yet."""
    order = msgspec.json.decode(msgspec.json.encode(msgspec.structs.asdict(some_basket())))
    del order["order_id"]
    answer = await http.post("/orders", json=order)
    assert answer.status_code == 202
    return answer


async def test_a_get_right_after_the_202_of_its_own_post_is_right_the_first_time(http: httpx.AsyncClient) -> None:
    async def pair() -> None:
        posted = await place(http)
        wish = {"Daybook-After": posted.headers["Daybook-After"], "Prefer": "wait=10"}
        got = await http.get(f"/orders/{posted.json()['key']}", headers=wish)
        assert (got.status_code, got.json()["version"], got.headers["ETag"]) == (200, 1, '"1"'), got.text

    for _ in range(5):
        await asyncio.gather(*(pair() for _ in range(20)))


async def test_over_nats_too_with_the_client(replay: Client) -> None:
    async def pair() -> None:
        order = some_basket()
        sent = await replay.send(order)
        answer = await replay.answer(GetOrder(order.order_id), 10, after=sent)
        assert answer.value["state"] == "placed"
        assert answer.position.startswith("order=")
        again = await replay.ask(GetOrder(order.order_id), 10, after=answer.position)
        assert again["version"] == 1

    for _ in range(5):
        await asyncio.gather(*(pair() for _ in range(20)))

    async def staleness_is_known() -> bool:
        return (await replay.answer(ListOrders())).staleness_ms is not None

    await until(staleness_is_known)


async def test_the_record_too_shows_ones_own_write_at_once(http: httpx.AsyncClient, replay: Client) -> None:
    for _ in range(20):
        posted = await place(http)
        wish = {"Daybook-After": posted.headers["Daybook-After"], "Prefer": "wait=10"}
        got = await http.get(f"/orders/{posted.json()['key']}/history", headers=wish)
        assert got.status_code == 200, got.text
        assert (got.headers["Daybook-Position"][:6], got.headers["Daybook-Staleness-Ms"]) == ("order=", "0")
    assert (await http.get("/orders/o1/history", headers={"Daybook-After": "order:x"})).json()["code"] == "undecided"
    for after in ("x", "ordre:c1"):
        refused = await http.get("/orders/o1/history", headers={"Daybook-After": after})
        assert refused.json()["field"] == "Daybook-After"
    path = f"/orders/{posted.json()['key']}/history"
    for after, code in (("order=99999999", "not-visible-yet"), ("order=1@deadbeef", "other-incarnation")):
        assert (await http.get(path, headers={"Daybook-After": after})).json()["code"] == code


async def test_a_known_version_is_not_sent_again(http: httpx.AsyncClient) -> None:
    posted = await place(http)
    path, wish = f"/orders/{posted.json()['key']}", {"Daybook-After": posted.headers["Daybook-After"]}
    tag = (await http.get(path, headers=wish)).headers["ETag"]
    again = await http.get(path, headers={"If-None-Match": f'"7", {tag}'})
    assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
    assert (await http.get(path, headers={"If-None-Match": '"7"'})).status_code == 200


async def test_what_one_has_is_told_in_every_form_that_http_has(http: httpx.AsyncClient) -> None:
    posted = await place(http)
    path, wish = f"/orders/{posted.json()['key']}", {"Daybook-After": posted.headers["Daybook-After"]}
    shown = await http.get(path, headers=wish)
    assert shown.headers["Cache-Control"] == "private, no-cache"
    for known, status in (('W/"1"', 304), ("*", 304), ('"x",', 200), ("", 200)):
        answer = await http.get(path, headers={"If-None-Match": known})
        assert (answer.status_code, "Content-Length" in answer.headers) == (status, status == 200)
    assert (await http.get("/orders", headers={"If-None-Match": '"x",'})).status_code == 200


async def test_over_nats_headers_are_read_in_any_case_and_none_of_several_is_lost(replay: Client) -> None:
    far, near = "order=99999999", "order=1"
    for after in ({"daybook-after": far}, {"Daybook-After": far, "daybook-after": near}):
        headers = after | {"prefer": "wait=0"}
        reply = await replay._nc.request("query.replay.GetOrder", b'{"order_id":"o1"}', timeout=5, headers=headers)
        assert msgspec.json.decode(reply.data)["code"] == "not-visible-yet"


async def test_a_state_can_be_waited_for(http: httpx.AsyncClient, replay: Client) -> None:
    order = some_basket()
    path = f"/orders/{order.order_id}"
    by_http = asyncio.create_task(http.get(path, params={"until": "cancelled", "wait": 20}))
    by_nats = asyncio.create_task(replay.ask(GetOrder(order.order_id), 20, until=["cancelled"]))
    placed = await http.get(path, params={"until": "placed,cancelled", "wait": 0})
    assert (placed.status_code, placed.json()["code"], placed.json()["state"]) == (503, "state-not-reached", None)
    await replay.send(order)
    placed = await http.get(path, params={"until": "placed,cancelled", "wait": 20})
    assert placed.json()["state"] == "placed"
    assert not by_http.done()
    await replay.send(CancelOrder(order.order_id, "changed my mind"))
    assert (await by_http).json()["state"] == (await by_nats)["state"] == "cancelled"


async def test_wishes_that_make_no_sense_are_refused_at_both_doors(http: httpx.AsyncClient, replay: Client) -> None:
    for headers, query, place in (
        ({"Daybook-After": "nonsense"}, "", "Daybook-After"),
        ({"Daybook-After": "ordre:c1"}, "", "Daybook-After"),
        ({}, "?until=gone", "until"),
        ({}, "?until=placed&wait=31", "wait"),
        ({}, "?until=placed&wait=x", "wait"),
        ({}, f"?until=placed&wait={'9' * 5000}", "wait"),
        ({}, "?until=", "until"),
        ({"Daybook-After": ""}, "", "Daybook-After"),
    ):
        answer = await http.get(f"/orders/o1{query}", headers=headers)
        assert (answer.status_code, answer.json()["field"]) == (400, place)
    wishes: list[tuple[Query, dict[str, Any]]] = [
        (GetOrder("o1"), {"after": "nonsense"}),
        (GetOrder("o1"), {"after": "ordre:c1"}),
        (GetOrder("o1"), {"until": ["gone"]}),
        (ListOrders(), {"until": ["placed"]}),
    ]
    for question, wish in wishes:
        with pytest.raises(QueryRefused) as refused:
            await replay.ask(question, **wish)
        assert refused.value.status == 400


async def test_while_the_projectors_stand_still_answers_say_so_and_wait_no_longer_than_wished(
    http: httpx.AsyncClient, system: System
) -> None:
    await place(http)
    system.kill("projectors", signal.SIGSTOP)
    try:
        posted = await place(http)
        path, token = f"/orders/{posted.json()['key']}", {"Daybook-After": posted.headers["Daybook-After"]}
        late = await http.get(path, headers=token | {"Prefer": "wait=2"})
        assert (late.status_code, late.json()["code"]) == (503, "not-visible-yet")
        assert late.headers["Retry-After"] == "1"

        async def stale() -> bool:
            plain = await http.get(path)
            assert plain.status_code == 404
            return int(plain.headers["Daybook-Staleness-Ms"]) > 1000

        await until(stale)
        waiting = asyncio.create_task(http.get(path, headers=token | {"Prefer": "wait=30"}))
    finally:
        system.kill("projectors", signal.SIGCONT)
    assert (await waiting).status_code == 200


async def test_while_the_bus_stands_still_a_wait_for_a_state_ends_when_it_was_wished(
    http: httpx.AsyncClient, system: System
) -> None:
    await http.get("/orders")
    system.kill("nats", signal.SIGSTOP)
    try:
        answer = await http.get("/orders/o1", params={"until": "placed", "wait": 1}, timeout=5)
        assert (answer.status_code, answer.json()["code"]) == (503, "bus-away")
        answer = await http.get("/orders/o1", headers={"Daybook-After": "order:x", "Prefer": "wait=1"}, timeout=5)
        assert (answer.status_code, answer.json()["code"]) == (503, "no-answer")
        plain = await http.get("/orders/o1", timeout=5)
        assert (plain.status_code, plain.headers["Daybook-Position"][:6]) == (404, "order=")
    finally:
        system.kill("nats", signal.SIGCONT)
