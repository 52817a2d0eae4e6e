"""What the gateway says when the bus is full, away or frozen, or when commands have waited too long."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from common.bus.api import ask_jetstream
from tests.bus.server import Server, until
from tests.gateway.doors import Doors, fresh_doors


@pytest_asyncio.fixture(loop_scope="session")
async def own(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Server, Doors]]:
    async with fresh_doors(tmp_path_factory) as opened:
        yield opened


async def test_a_full_stream_is_503_and_nothing_was_stored(own: tuple[Server, Doors]) -> None:
    _, doors = own
    config = (await ask_jetstream(doors.nc, "STREAM.INFO.COMMANDS", {}))["config"]
    await ask_jetstream(doors.nc, "STREAM.UPDATE.COMMANDS", config | {"max_bytes": 100})
    answer = await doors.place(idempotency_key="full")
    assert (answer.status_code, answer.json()["code"]) == (503, "full")
    assert answer.headers["retry-after"]
    await ask_jetstream(doors.nc, "STREAM.UPDATE.COMMANDS", config)
    assert (await doors.place(idempotency_key="full")).status_code == 202
    assert await doors.stored() == 1


async def test_a_bus_that_is_away_is_503_at_once_and_comes_back_by_itself(own: tuple[Server, Doors]) -> None:
    server, doors = own
    await server.kill()

    async def refused() -> bool:
        return bool((await doors.place()).json().get("code") == "bus-away")

    await until(refused)
    assert (await doors.http.get("/readyz/commands")).status_code == 503
    assert (await doors.http.get("/livez")).status_code == 200
    await server.start()

    async def taken() -> bool:
        return (await doors.place()).status_code == 202

    await until(taken)


async def test_a_frozen_bus_is_504_and_the_command_may_be_sent_again(own: tuple[Server, Doors]) -> None:
    server, doors = own
    assert (await doors.place(idempotency_key="before")).status_code == 202
    server.freeze()
    try:
        answer = await doors.place(idempotency_key="frozen")
    finally:
        server.thaw()
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["command_id"]) == (504, "outcome-unknown", "frozen")
    assert answer.headers["location"] == problem["receipt"] == "/commands/order/frozen"

    async def again() -> bool:
        return (await doors.place(idempotency_key="frozen")).status_code == 202

    await until(again)
    assert await doors.stored() == 2


async def test_commands_that_wait_too_long_to_be_decided_close_the_door_of_their_context(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    async with fresh_doors(tmp_path_factory, backlog_age_s=1) as (_, doors):
        await check_backlog(doors)


async def check_backlog(doors: Doors) -> None:
    assert (await doors.place("/orders/o1")).status_code == 202

    async def refused() -> bool:
        return bool((await doors.place("/orders/o2")).json().get("code") == "backlog")

    await until(refused)
    answer = await doors.place("/orders/o2")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
    operator = {"x_api_key": doors.settings.api_key("operator")}
    assert (await doors.place("/products/p1/discontinue", {}, **operator)).status_code == 202
    await ask_jetstream(doors.nc, "STREAM.PURGE.COMMANDS", {})

    async def open_again() -> bool:
        return (await doors.place("/orders/o2")).status_code == 202

    await until(open_again)
