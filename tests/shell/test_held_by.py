"""What waits behind a parked command: its key, or what of it the context names (protocol P3)."""

from collections.abc import AsyncIterator, Sequence
from itertools import count
from typing import Any

import pytest_asyncio
from msgspec.structs import replace

from common.config import Settings
from common.context import Known
from common.messages import Event
from contexts.stock.decider import decide
from contexts.stock.wiring import CONTEXT as STOCK
from tests.shell.conftest import Desk, Message, open_desk

BREAD = [{"sku": "bread", "quantity": 1}]
AT = "2026-03-01T12:00:00Z"
numbers = count(1)


def crashing(command: Any, site: Any, known: Known) -> Sequence[Event]:
    """The rules of stock, with a fault."""
    if getattr(command, "order_id", "") == "bad" or getattr(command, "counted", 0) == 13:
        raise ZeroDivisionError
    return decide(command, site, known)


@pytest_asyncio.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    """At which commands for the order `bad` crash, and counts of 13."""
    context = replace(STOCK, name=f"crashing{next(numbers)}", decide=crashing)
    async with open_desk(settings, context) as made:
        yield made


def reserve(desk: Desk, order_id: str, command_id: str, site: str = "s1") -> Message:
    return desk.message(site, "ReserveStock", command_id, principal=desk.name, order_id=order_id, lines=BREAD, at=AT)


def release(desk: Desk, order_id: str, command_id: str, site: str = "s1") -> Message:
    return desk.message(site, "ReleaseReservation", command_id, principal=desk.name, order_id=order_id, at=AT)


def receive(desk: Desk, command_id: str) -> Message:
    return desk.message("s1", "ReceiveStock", command_id, principal="warehouse", lines=BREAD * 9)


def counted(desk: Desk, found: int, command_id: str) -> Message:
    return desk.message("s1", "CountStock", command_id, principal="warehouse", sku="bread", counted=found)


async def states(desk: Desk, *messages: Message) -> list[str]:
    pushed = await desk.settle(*messages)
    return [pushed[message.headers["Daybook-Command-Id"]].state for message in messages]


async def test_a_parked_command_of_an_order_does_not_stop_the_site(desk: Desk) -> None:
    assert await states(
        desk, receive(desk, "c1"), reserve(desk, "bad", "c2"), reserve(desk, "good", "c3"), counted(desk, 9, "c4")
    ) == ["accepted", "parked", "accepted", "accepted"]
    assert await states(desk, release(desk, "good", "c5"), receive(desk, "c6")) == ["accepted", "accepted"]
    assert await desk.count("parked") == 1


async def test_behind_a_parked_command_the_same_order_waits_in_this_batch_and_in_later_ones(desk: Desk) -> None:
    await desk.settle(receive(desk, "c1"))
    pushed = await desk.settle(reserve(desk, "bad", "c2"), release(desk, "bad", "c3"))
    later = await desk.settle(release(desk, "bad", "c4"))
    assert [pushed["c3"].message, later["c4"].message] == ["behind c2", "behind c3"]
    rows = await desk.owner.fetch(f'SELECT key, held_by, command_id FROM "{desk.name}".parked ORDER BY id')
    assert [tuple(row) for row in rows] == [("s1", "bad", "c2"), ("s1", "bad", "c3"), ("s1", "bad", "c4")]


async def test_the_same_order_at_another_site_is_another(desk: Desk) -> None:
    await desk.settle(reserve(desk, "bad", "c1", "s1"))
    pushed = await desk.settle(reserve(desk, "bad", "c2", "s2"))
    assert pushed["c2"].code == "crashed"


async def test_behind_a_parked_command_of_the_site_those_of_the_site_wait_and_its_orders_go_on(desk: Desk) -> None:
    assert await states(
        desk, receive(desk, "c1"), counted(desk, 13, "c2"), counted(desk, 5, "c3"), reserve(desk, "o1", "c4")
    ) == ["accepted", "parked", "parked", "accepted"]


async def test_where_it_cannot_be_told_what_holds_a_command_its_key_does(settings: Settings) -> None:
    def unsure(command: Any) -> str:
        raise KeyError(command)

    context = replace(STOCK, name=f"crashing{next(numbers)}", decide=crashing, held_by=unsure)
    async with open_desk(settings, context) as desk:
        assert await states(desk, receive(desk, "c1"), reserve(desk, "bad", "c2"), reserve(desk, "good", "c3")) == [
            "accepted",
            "parked",
            "parked",
        ]
