"""Leases: who is silent for too long is succeeded, and knows it before it writes again (P2)."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio

from common.shell.lease import LeaseKeeper
from common.shell.leased import under_lease
from tests.servers import until
from tests.shell.conftest import Desk

NAMES = ("0", "1", "relay")


def keeper(desk: Desk, owner: str, ttl_s: float = 60) -> LeaseKeeper:
    return LeaseKeeper(desk.table, owner, NAMES, ttl_s)


@pytest_asyncio.fixture
async def free(desk: Desk) -> AsyncIterator[Desk]:
    """A desk whose leases nobody holds."""
    await desk.table.release({name: lease.epoch for name, lease in desk.leases.held.items()})
    yield desk


async def test_free_leases_are_taken_at_once(free: Desk) -> None:
    first = keeper(free, "first")
    await first.keep()
    assert set(first.held) == set(NAMES)
    assert not first.unclean


async def test_leases_whose_beat_moves_are_left_alone(free: Desk) -> None:
    first, second = keeper(free, "first"), keeper(free, "second", 0.0001)
    await first.keep()
    for _ in range(5):
        await first.keep()
        await second.keep()
    assert second.held == {}


async def test_leases_whose_beat_stands_still_are_taken_over_and_the_loser_learns_it(free: Desk) -> None:
    first, second = keeper(free, "first"), keeper(free, "second", 0.05)
    await first.keep()
    running = asyncio.create_task(second.run())
    try:
        await until(lambda: set(second.held) == set(NAMES), what="the takeover")
        assert second.unclean
        assert all(second.held[name].epoch == first.held[name].epoch + 1 for name in NAMES)
        await first.keep()
        assert first.held == {}
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def test_of_many_contenders_each_lease_has_one_owner(free: Desk) -> None:
    keepers = [keeper(free, f"k{i}") for i in range(6)]
    await asyncio.gather(*(each.keep() for each in keepers))
    assert sorted(name for each in keepers for name in each.held) == sorted(NAMES)


async def test_who_stops_cleanly_gives_back_and_leaves_no_suspicion(free: Desk) -> None:
    first, second = keeper(free, "first"), keeper(free, "second")
    running = asyncio.create_task(first.run())
    await asyncio.wait_for(first.wait_until_held("0"), 10)
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await second.keep()
    assert set(second.held) == set(NAMES)
    assert not second.unclean


async def test_what_runs_under_a_lease_stops_when_it_is_lost_and_starts_again_with_it(free: Desk) -> None:
    first, running = keeper(free, "first"), []

    async def work() -> None:
        running.append("started")
        try:
            await asyncio.Event().wait()
        finally:
            running.append("stopped")

    task = asyncio.create_task(under_lease(first, "relay", work))
    await first.keep()
    await until(lambda: running == ["started"])
    taken = await free.table.take("thief", await free.table.all())
    await first.keep()
    await until(lambda: running == ["started", "stopped"])
    await free.table.release({lease.name: lease.epoch for lease in taken})
    await first.keep()
    await until(lambda: running == ["started", "stopped", "started"])
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_the_place_in_the_command_stream_never_goes_back(desk: Desk) -> None:
    older, newer = desk.message("b1", "ReturnBook", "c1"), desk.message("b1", "ReturnBook", "c2")
    await desk.settle(newer)
    await desk.settle(older)
    assert {lease.done for lease in await desk.table.all() if lease.name == "0"} == {newer.sequence}
