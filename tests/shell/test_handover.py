"""The relay may take what the worker has just recorded from its hands: it is what the store would give (P7)."""

import asyncio

import msgspec
import pytest

from common.shell.handover import MOST, Handover
from common.shell.outbox import bus_outbox
from tests.shell.conftest import Desk
from tests.shell.worlds import World


async def lent(desk: Desk, first: int, last: int) -> None:
    await desk.settle(*(desk.message(f"b{i}", "LendBook", f"c{i}", reader="ann") for i in range(first, last + 1)))


async def test_what_is_handed_over_is_what_the_store_gives(desk: Desk) -> None:
    await lent(desk, 1, 5)
    assert desk.recorded == await desk.reader.page(0, 10)


async def test_pages_come_from_the_hand_as_far_as_they_follow_and_from_the_store_else(desk: Desk) -> None:
    await lent(desk, 1, 9)
    handover = Handover(desk.pool, desk.name)
    handover.put(desk.recorded[3:6])
    assert [e.position for e in await handover.page(0, 2)] == [1, 2]
    assert [e.position for e in await handover.page(3, 2)] == [4, 5]
    assert [e.position for e in await handover.page(5, 9)] == [6]
    assert await handover.page(6, 9) == []
    assert [e.position for e in await handover.page(6, 9)] == [7, 8, 9]
    assert await handover.page(9, 9) == []


async def test_behind_what_was_at_hand_the_store_is_asked_from_the_second_look_on(desk: Desk) -> None:
    await lent(desk, 1, 3)
    handover = Handover(desk.pool, desk.name)
    handover.put(desk.recorded[:2])
    assert [e.position for e in await handover.page(0, 9)] == [1, 2]
    assert await handover.page(2, 9) == []
    assert [e.position for e in await handover.page(2, 9)] == [3]
    handover.put(desk.recorded[2:])
    assert [e.position for e in await handover.page(0, 9)] == [1, 2, 3]


async def test_after_a_gap_the_hand_holds_what_is_new_alone(desk: Desk) -> None:
    await lent(desk, 1, 6)
    handover = Handover(desk.pool, desk.name)
    handover.put(desk.recorded[:2])
    handover.put(desk.recorded[4:])
    assert [e.position for e in await handover.page(0, 9)] == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("here", [True, False])
async def test_the_relay_is_told_in_this_process_or_else_over_the_bus(desk: Desk, world: World, here: bool) -> None:
    await lent(desk, 1, 1)
    hints = await world.nc.subscribe(f"hint.{desk.name}")
    last = await world.nc.subscribe("receipt.>")
    handover, woken = Handover(desk.pool, desk.name), asyncio.Event()
    handover.wake = woken.set if here else None
    outbox = bus_outbox(world.nc, desk.name, handover)
    await outbox.recorded(desk.recorded)
    await outbox.answered(desk.pushed)
    await last.next_msg(timeout=5)
    assert woken.is_set() == here
    assert hints.pending_msgs == (0 if here else 1)


async def test_the_hand_never_holds_more_than_it_may(desk: Desk) -> None:
    await lent(desk, 1, 2)
    handover = Handover(desk.pool, desk.name)
    for position in range(1, MOST + 10):
        handover.put([msgspec.structs.replace(desk.recorded[0], position=position)])
    assert len(handover._waiting) < MOST
