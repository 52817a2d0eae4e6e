"""The process of a context: what runs under a lease ends with it, and who waits for a database says so."""

import asyncio

import pytest

from common.shell import context_process
from common.shell.context_process import under_lease
from common.shell.lease import LeaseKeeper
from tests.servers import until
from tests.shell.conftest import Desk


async def test_work_that_drops_a_cancellation_ends_all_the_same(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context_process, "CANCEL_AGAIN_S", 0.05)
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
