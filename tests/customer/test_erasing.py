"""Once a customer's key is destroyed no store yields what was personal, and all else is as it was. On real servers."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import asyncpg
import msgspec

from common.discovery import read_models, tables
from common.servers.staging import staged
from common.store.fold import equal_to_fresh_fold
from common.store.pool import open_pool
from common.store.reader import EventReader
from tests.customer.conftest import Door, daybook
from tests.servers import System, until

NAME, EMAIL, STREET = "Adalind Zorvath", "Adalind.Zorvath@example.org", "17 Quillfeather Row"
PERSONAL = ("zorvath", "adalind", "quillfeather")
ADDRESS = {"street": STREET, "city": "Springfield", "postal_code": "45501", "country": "US"}
TABLES = """SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables
    WHERE schemaname NOT IN ('pg_catalog', 'information_schema')"""


class Shopper:
    """A customer with an order; what she said of herself is known word by word."""

    def __init__(self, storefront: Door, operator: Door) -> None:
        self.storefront, self.operator = storefront, operator
        self.id, self.sku, self.order = uuid4().hex, uuid4().hex[:12], ""
        self.path = f"/customers/{self.id}"

    async def shop(self) -> None:
        await self.storefront.accepted(self.path, name=NAME, email=EMAIL, address=ADDRESS)
        await self.storefront.accepted(f"{self.path}/address", address=ADDRESS)
        await self.storefront.refused(f"/customers/{uuid4().hex}", name=NAME, email=EMAIL.upper())
        product = {"sku": self.sku, "name": "Bananas", "department": "PRODUCE", "price": 129, "currency": "USD"}
        await self.operator.accepted("/products", **product)
        await until(self._has_ordered)

    async def _has_ordered(self) -> bool:
        """Whether an order was taken: order must have heard of the product first."""
        answer = await self.storefront.post("/orders", **self.wish())
        self.order = answer.json().get("key", "")
        return answer.status_code == 200

    def wish(self) -> dict[str, Any]:
        lines = [{"sku": self.sku, "quantity": 2}]
        there = ADDRESS | {"name": NAME}
        fields = {"site": "s1", "payment_method": "pm_ok", "currency": "USD"}
        return {"customer_id": self.id, "deliver_to": there, "lines": lines, **fields}

    async def record(self) -> list[Any]:
        """Both histories and both states as of now, for who may read all."""
        paths = (self.path, f"/orders/{self.order}")
        return [await self.operator.get(path + part) for path in paths for part in ("/history", "?as_of=now")]


def unpersonal(record: Any) -> Any:
    """The record without what is personal in it, open or not."""
    match record:
        case dict():
            hidden = ("contact", "address", "deliver_to")
            return {name: unpersonal(value) for name, value in record.items() if name not in hidden}
        case list():
            return [unpersonal(value) for value in record]
        case _:
            return record


async def rows_with(words: Sequence[str], dsn: str) -> list[str]:
    """Every row of every table, as a dump would have it, that holds one of the words, in whatever capitals."""
    connection = await asyncpg.connect(dsn)
    try:
        found = []
        for (table,) in await connection.fetch(TABLES):
            rows = await connection.fetch(f"SELECT lower(t::text) AS row FROM {table} AS t")
            found += [f"{table}: {row['row']}" for row in rows if any(word in row["row"] for word in words)]
        return found
    finally:
        await connection.close()


def files_with(words: Sequence[str], *folders: Path) -> list[str]:
    """Every file that holds one of the words, in whatever capitals: of nats-server, of both Postgres, and the logs."""
    paths = (path for folder in folders for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return [str(path) for path in paths if any(word.encode() in content(path) for word in words)]


def content(path: Path) -> bytes:
    try:
        return path.read_bytes().lower()
    except FileNotFoundError:  # Servers remove files as they go on.
        return b""


async def differences(system: System) -> list[str]:
    """Between every read table and a fresh fold of the record."""
    settings, found = system.settings, list[str]()
    async with AsyncExitStack() as stack:
        reads = await stack.enter_async_context(await open_pool(settings.read_dsn, "reader", 2))
        for model in tables(read_models().values()):
            readers = {}
            for context in model.follows:
                pool = await stack.enter_async_context(await open_pool(settings.write_dsn(context), "reader", 2))
                readers[context] = EventReader(pool, context)
            found += await equal_to_fresh_fold(reads, model, readers)
    return found


async def test_an_erased_customer_is_nowhere_and_all_else_is_as_it_was(
    system: System, storefront: Door, operator: Door
) -> None:
    ada, ben = Shopper(storefront, operator), uuid4().hex
    await ada.shop()

    async def over() -> bool:
        """Whether the order has come to its end: nothing was in stock."""
        order = await storefront.http.get(f"/orders/{ada.order}")
        return order.status_code == 200 and order.json()["state"] == "cancelled" and await differences(system) == []

    await until(over, within=60)
    before = await ada.record()
    assert all(word in msgspec.json.encode(before).decode().lower() for word in PERSONAL)

    code, said = await daybook(system, "erase", ada.id, "--yes")
    assert (code, "in plain words" in said) == (0, True), said
    assert "may still lie" not in said

    for dsn in (system.settings.write_dsn("customer"), system.settings.read_dsn):
        assert await rows_with(PERSONAL, dsn) == []
        assert await rows_with([ada.id], dsn)
    folders = (system.settings.data, staged(system.settings.data))
    assert await asyncio.to_thread(files_with, PERSONAL, *folders) == []
    assert await asyncio.to_thread(files_with, [ada.id], *folders)

    after = await ada.record()
    assert unpersonal(after) == unpersonal(before)
    assert await differences(system) == []
    erased = {"person": ada.id, "erased": True}
    assert after[1]["state"]["contact"] == after[1]["state"]["address"] == erased
    assert after[2]["events"][0]["data"]["deliver_to"] == erased

    wish = ada.wish()
    assert await storefront.refused(f"{ada.path}/contact", name=NAME, email=EMAIL) == "person-erased"
    assert await storefront.refused("/orders", **wish) == "person-erased"
    assert await storefront.refused(f"/customers/{ben}", name="Ben", email=EMAIL) == "customer.email-taken"
    await storefront.accepted(f"{ada.path}/close")
    await storefront.accepted(f"/customers/{ben}", name="Ben", email=EMAIL)


async def test_nobody_is_erased_by_mistake(system: System, storefront: Door, operator: Door) -> None:
    person = uuid4().hex
    code, said = await daybook(system, "erase", person, "--yes")
    assert (code, said.strip()) == (1, f"Error: nothing personal was ever recorded of a customer {person}")
    await storefront.accepted(f"/customers/{person}", name="Cleo", email=f"{person}@example.org")
    code, said = await daybook(system, "erase", person, typed="n\n")
    assert (code, "Nobody can undo this" in said) == (1, True)
    contact = (await operator.get(f"/customers/{person}?as_of=now"))["state"]["contact"]
    assert contact["name"] == "Cleo"
    code, said = await daybook(system, "erase", person, typed="y\n")
    assert code == 0, said
    again, same = await daybook(system, "erase", person)
    assert (again, same in said) == (0, True)
