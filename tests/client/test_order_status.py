"""Where an order stands, from a bucket: asked for at both doors, watched by HTTP and by any NATS client."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from typing import Any
from uuid import uuid4

import httpx
import msgspec
import pytest
import pytest_asyncio

from common.bus.denials import NotPermitted
from common.client import Client, connect
from contexts.order.commands import CancelOrder
from projectors.order_status import GetOrderStatus
from tests.baskets import first_basket, some_basket
from tests.client.doors import door
from tests.servers import System, running_system, temporary_data, until

WATCH = {"Accept": "text/event-stream"}


@pytest_asyncio.fixture(scope="module")
async def system() -> AsyncIterator[System]:
    """Its contexts ask nothing of each other: an order changes only when we say so."""
    with temporary_data() as folder:
        async with running_system(folder, options=["--without-reactions"]) as found:
            yield found


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    async with door(system, "storefront") as client:
        yield client


async def placed(replay: Client) -> tuple[str, str]:
    """An order that is decided, and what shows it."""
    order = some_basket()
    receipt = await replay.wait(await replay.send(order))
    assert receipt.state == "accepted"
    return order.order_id, f"order={receipt.position}"


async def cancelled(replay: Client, order_id: str) -> str:
    receipt = await replay.wait(await replay.send(CancelOrder(order_id, "changed my mind")))
    return f"order={receipt.position}"


async def test_it_shows_ones_own_write_the_first_time(replay: Client, http: httpx.AsyncClient) -> None:
    order_id, after = await placed(replay)
    answer = await http.get(f"/order-status/{order_id}", headers={"Daybook-After": after, "Prefer": "wait=10"})
    status = answer.json()
    assert (status["order_id"], status["state"], status["version"]) == (order_id, "placed", 1)
    assert status["customer_id"] == first_basket().customer_id
    assert answer.headers["ETag"] == '"1"'
    assert answer.headers["Daybook-Position"].startswith("order=")
    assert int(answer.headers["Daybook-Position"].split("=")[1].split("@")[0]) >= status["position"]
    await until(lambda: known(http, order_id))
    again = await http.get(f"/order-status/{order_id}", headers={"If-None-Match": '"1"'})
    assert again.status_code == 304
    after = await cancelled(replay, order_id)
    gone = await http.get(f"/order-status/{order_id}", headers={"Daybook-After": after, "Prefer": "wait=10"})
    assert (gone.json()["state"], gone.json()["cause"], gone.json()["reason"]) == (
        "cancelled",
        "asked",
        "changed my mind",
    )


async def known(http: httpx.AsyncClient, order_id: str) -> bool:
    return (await http.get(f"/order-status/{order_id}")).headers["Daybook-Staleness-Ms"] != "unknown"


async def test_by_nats_it_is_the_same_answer(replay: Client, http: httpx.AsyncClient) -> None:
    order_id, after = await placed(replay)
    answer = await replay.answer(GetOrderStatus(order_id), 10, after=after)
    assert answer.value == (await http.get(f"/order-status/{order_id}")).json()
    assert answer.position.startswith("order=")
    waiting = asyncio.create_task(replay.ask(GetOrderStatus(order_id), 10, until=["cancelled"]))
    await cancelled(replay, order_id)
    assert (await waiting)["state"] == "cancelled"


async def test_it_waits_for_a_state_and_says_what_is_not_there(replay: Client, http: httpx.AsyncClient) -> None:
    order_id, _ = await placed(replay)
    waiting = asyncio.create_task(http.get(f"/order-status/{order_id}?until=cancelled&wait=20"))
    await cancelled(replay, order_id)
    assert (await waiting).json()["state"] == "cancelled"
    assert (await http.get("/order-status/nobodys")).status_code == 404
    assert (await http.get(f"/order-status/{order_id}?until=lost")).json()["field"] == "until"
    late = await http.get(f"/order-status/{order_id}", headers={"Daybook-After": "order=99999999"})
    assert (late.status_code, late.json()["code"]) == (503, "not-visible-yet")


async def events(answer: httpx.Response) -> AsyncIterator[Any]:
    """The data of server-sent events."""
    async for line in answer.aiter_lines():
        if line.startswith("data: "):
            yield msgspec.json.decode(line.removeprefix("data: "))


async def test_a_watcher_is_told_what_there_is_and_each_change(replay: Client, http: httpx.AsyncClient) -> None:
    order_id, after = await placed(replay)
    async with http.stream("GET", f"/order-status/{order_id}", headers=WATCH | {"Daybook-After": after}) as answer:
        assert answer.headers["content-type"] == "text/event-stream"
        told = events(answer)
        assert (await anext(told))["state"] == "placed"
        await cancelled(replay, order_id)
        assert (await anext(told))["state"] == "cancelled"


async def test_who_watches_early_is_told_when_there_is_something(replay: Client, http: httpx.AsyncClient) -> None:
    order = some_basket()
    path = f"/order-status/{order.order_id}?until=cancelled"
    async with http.stream("GET", path, headers=WATCH) as answer:
        await replay.send(order)
        told = events(answer)
        assert (await anext(told))["state"] == "placed"
        await cancelled(replay, order.order_id)
        assert [each["state"] async for each in told] == ["cancelled"]  # Then the answer is complete.


async def test_who_may_not_watch_is_told_so(system: System, http: httpx.AsyncClient) -> None:
    async with door(system, "courier") as courier:
        refused = await courier.get("/order-status/o1", headers=WATCH)
    assert (refused.status_code, refused.json()["roles"]) == (403, ["watch"])
    assert (await http.get("/order-status/o1?until=lost", headers=WATCH)).json()["field"] == "until"


async def test_the_rest_waits_while_so_many_watch(system: System, http: httpx.AsyncClient) -> None:
    """A principal may hold a quarter of the lines; and whoever leaves makes room."""

    async def held(stop: asyncio.Event) -> int:
        async with http.stream("GET", f"/order-status/{uuid4().hex}", headers=WATCH) as answer:
            if answer.status_code == 200:
                await stop.wait()
            return answer.status_code

    limits = httpx.Limits(max_connections=None)
    headers = {"X-API-Key": system.settings.api_key("storefront")}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, limits=limits, trust_env=False) as http:
        stop = asyncio.Event()
        lines = [asyncio.create_task(held(stop)) for _ in range(260)]
        done, _ = await asyncio.wait(lines, return_when=asyncio.FIRST_COMPLETED, timeout=30)
        assert {each.result() for each in done} == {503}
        stop.set()
        statuses = await asyncio.gather(*lines)
        assert (statuses.count(200), statuses.count(503)) == (256, 4)

        async def free() -> bool:
            async with http.stream("GET", "/order-status/o1", headers=WATCH) as answer:
                return answer.status_code == 200

        await until(free)


async def test_a_bucket_that_is_rebuilt_comes_back_with_all_it_held(
    system: System, http: httpx.AsyncClient, replay: Client
) -> None:
    order_id, after = await placed(replay)
    wish = {"Daybook-After": after, "Prefer": "wait=10"}
    before = (await http.get(f"/order-status/{order_id}", headers=wish)).json()
    assert "is filled anew" in await daybook(system, "rebuild", "order-status")
    assert (await http.get(f"/order-status/{order_id}")).status_code in (200, 404, 503)

    async def back() -> bool:
        answer = await http.get(f"/order-status/{order_id}")
        return answer.status_code == 200 and answer.json() == before

    await until(back)


async def test_any_nats_client_that_may_watch_is_told_each_change(system: System, replay: Client) -> None:
    order_id, _ = await placed(replay)
    async with client(system, "storefront") as storefront, storefront.watch_key("order-status", order_id) as values:
        assert (await anext(values))["state"] == "placed"
        await cancelled(replay, order_id)
        assert (await anext(values))["state"] == "cancelled"
    with pytest.raises(NotPermitted, match="replay may not watch order-status"):
        async with replay.watch_key("order-status", order_id):
            pass


def client(system: System, principal: str) -> Any:
    return connect(system.settings.nats_url, principal, system.settings.password(principal))


async def test_at_the_terminal_it_is_watched_until_a_state(system: System, replay: Client) -> None:
    order_id, _ = await placed(replay)
    shown = asyncio.create_task(daybook(system, "watch", order_id, "--until", "cancelled", "--json"))
    assert (await daybook(system, "watch", order_id, "--count", "1")).startswith("placed")
    await cancelled(replay, order_id)
    told = [msgspec.json.decode(line)["state"] for line in (await shown).splitlines()]
    assert told[-1] == "cancelled"
    assert "'lost' is no state of an order" in await daybook(system, "watch", order_id, "--until", "lost")
    assert "courier may not watch order-status" in await daybook(system, "watch", order_id, "--as", "courier")


async def daybook(system: System, *arguments: str) -> str:
    """What the command says, on whichever stream."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", *arguments),
        env=os.environ | {"DAYBOOK_DATA": str(system.settings.data)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(30):
        said, _ = await process.communicate()
    return said.decode()


async def test_its_lag_is_shown_like_that_of_every_read_model(http: httpx.AsyncClient) -> None:
    async def live() -> bool:
        found = (await http.get("/consistency-lag/order-status")).json()["read_models"]
        return [(each["model"], each["context"], each["state"]) for each in found] == [
            ("order-status", "order", "live")
        ]

    await until(live)


async def test_a_server_that_stops_ends_the_lines_it_holds(system: System, http: httpx.AsyncClient) -> None:
    async with http.stream("GET", f"/order-status/{uuid4().hex}", headers=WATCH) as answer:
        pid = system.kill("gateway", signal.SIGTERM)
        assert [each async for each in events(answer)] == []
    await until(lambda: system.pids.get("gateway", pid) != pid)
    await until(system.ready)
