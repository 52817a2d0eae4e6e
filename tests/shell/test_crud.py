"""A CRUD context through the same worker: a row is what its last event says (P6)."""

from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest_asyncio

from common.config import Settings
from contexts.product.wiring import CONTEXT
from tests.shell.conftest import Desk, Message, numbers, open_desk


@pytest_asyncio.fixture
async def catalogue(settings: Settings) -> AsyncIterator[Desk]:
    context = msgspec.structs.replace(CONTEXT, name=f"catalogue{next(numbers)}")
    async with open_desk(settings, context) as desk:
        yield desk


def added(desk: Desk, product_id: str, command_id: str, **fields: Any) -> Message:
    new = {"sku": "S1", "name": "Tea", "department": "GROCERY", "price": 100, "currency": "EUR"} | fields
    return desk.message(product_id, "AddProduct", command_id, principal="keeper", **new)


def priced(desk: Desk, product_id: str, command_id: str, price: int) -> Message:
    return desk.message(product_id, "ChangePrice", command_id, principal="keeper", price=price)


async def test_changes_of_one_row_in_one_batch_leave_row_and_events_at_one_version(catalogue: Desk) -> None:
    await catalogue.settle(
        added(catalogue, "p1", "c1"), priced(catalogue, "p1", "c2", 150), priced(catalogue, "p1", "c3", 170)
    )
    row = await catalogue.owner.fetchrow(f'SELECT version, data FROM "{catalogue.name}".rows')
    events = await catalogue.reader.page(0, 10)
    assert [event.version for event in events] == [1, 2, 3]
    assert row["version"] == 3
    assert bytes(events[-1].data) == b'{"product":' + row["data"].encode() + b"}"


async def test_the_next_change_begins_with_the_row_that_is_there(catalogue: Desk) -> None:
    await catalogue.settle(added(catalogue, "p1", "c1"))
    catalogue.worker.forget()
    pushed = await catalogue.settle(priced(catalogue, "p1", "c2", 150), priced(catalogue, "p1", "c3", 150))
    assert [pushed["c2"].version, pushed["c3"].version, pushed["c3"].events] == [2, 2, 0]


async def test_a_sku_belongs_to_one_product(catalogue: Desk) -> None:
    pushed = await catalogue.settle(added(catalogue, "p1", "c1"), added(catalogue, "p2", "c2"))
    assert [pushed["c1"].state, pushed["c2"].code] == ["accepted", "product.sku-taken"]
