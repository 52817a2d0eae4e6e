"""The process of a context: what runs under a lease ends with it, and who waits for a database says so."""

import asyncio
from typing import Any, cast

import msgspec
import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.config import Settings
from common.discovery import contexts
from common.servers.files import free_port
from common.shell import leased
from common.shell.context_process import run_contexts
from common.shell.lease import LeaseKeeper
from common.shell.leased import under_lease
from common.shell.pools import pool_when_there
from common.store.pool import Role
from tests.servers import until
from tests.shell.conftest import Desk


async def test_work_that_drops_a_cancellation_ends_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leased, "CANCEL_AGAIN_S", 0.05)
    keeper, told = LeaseKeeper(desk.table, "other", ["relay"], 60), list[str]()

    async def work() -> None:
        for said in ("first", "second"):
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                told.append(said)
        raise asyncio.CancelledError

    task = asyncio.create_task(under_lease(keeper, "relay", work))
    await keeper.keep()
    await until(lambda: "relay" in keeper.held)
    await asyncio.sleep(0)
    await desk.table.take("thief", await desk.table.all())
    await keeper.keep()
    assert "relay" not in keeper.held
    await until(lambda: told == ["first", "second"], within=5)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_who_cannot_get_into_its_database_says_so_and_keeps_no_other_context_waiting(
    provisioned: Settings, nc: Client
) -> None:
    away = provisioned.write_dsn("order").replace("daybook@", "daybook:wrong@").partition("?")[0]
    settings = msgspec.structs.replace(provisioned, context_dsns={"order": away})
    heard: dict[str, dict[str, Any]] = {}

    async def hear(message: Msg) -> None:
        beat = msgspec.json.decode(message.data)
        heard[beat["context"]] = beat

    beats = await nc.subscribe("beat.worker.*", cb=hear)
    known = contexts()
    running = asyncio.create_task(run_contexts(settings, [known["order"], known["product"]], {}))
    try:
        await until(lambda: heard.keys() >= {"order", "product"} and heard["product"]["partitions"] > 0, within=15)
        assert "password" in heard["order"]["error"]
        assert heard["product"]["error"] == ""
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        await beats.unsubscribe()


async def test_a_role_that_nobody_has_made_yet_is_waited_for(settings: Settings) -> None:
    errors: list[str] = []
    waiting = asyncio.create_task(pool_when_there(settings.read_dsn, cast(Role, "of_nobody"), errors.append))
    await until(lambda: len(errors) > 1)
    assert "does not exist" in errors[0]
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)


async def test_a_database_that_does_not_answer_is_logged_once(caplog: pytest.LogCaptureFixture) -> None:
    errors: list[str] = []
    dsn = f"postgresql://daybook@127.0.0.1:{free_port()}/none"
    waiting = asyncio.create_task(pool_when_there(dsn, "reader", errors.append))
    await until(lambda: len(errors) > 3)
    waiting.cancel()
    await asyncio.gather(waiting, return_exceptions=True)
    assert len([each for each in caplog.messages if "does not answer" in each]) == 1
