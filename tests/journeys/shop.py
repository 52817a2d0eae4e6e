"""A shop in which a test is a sentence: who orders what, what then happens to it, and how it has to end.

Everything is asked for over HTTP, by the principal whose work it is.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx

from tests.journeys.order import PEOPLE, PRICES, WITHIN_S, Order, Site, order_of
from tests.journeys.record import Record, Story
from tests.journeys.record import opened as opened_record
from tests.servers import System, until

READ_S = 0.0002
"""About what an event takes to be read: so whoever waits for many looks again only after as long as that took."""
WAIT = {"Prefer": f"wait={WITHIN_S}"}


def new_id(what: str) -> str:
    return f"{what}-{uuid4().hex[:12]}"


class Shop:
    """What tests do with one running system."""

    def __init__(self, system: System, record: Record, doors: Mapping[str, httpx.AsyncClient]) -> None:
        self.system, self.record, self._doors = system, record, doors

    async def asks(self, principal: str, path: str, body: Any = None, **headers: str) -> httpx.Response:
        """What a command is answered, once it is decided."""
        return await self._doors[principal].post(path, json=body or {}, headers=WAIT | headers)

    async def sends(self, principal: str, path: str) -> None:
        """A command is taken in, whenever it may be decided."""
        answer = await self._doors[principal].post(path, json={})
        assert answer.status_code == 202, f"{path}: {answer.status_code} {answer.text}"

    async def done(self, principal: str, path: str, body: Any = None) -> dict[str, Any]:
        """The receipt of a command that must be accepted."""
        answer = await self.asks(principal, path, body)
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        receipt: dict[str, Any] = answer.json()
        return receipt

    async def refused(self, principal: str, path: str, body: Any = None) -> str:
        """The code of the rule by which a command is refused."""
        answer = await self.asks(principal, path, body)
        assert answer.status_code == 409, f"{path}: {answer.status_code} {answer.text}"
        return str(answer.json()["code"])

    async def sees(self, path: str, after: str = "", **parameters: str) -> Any:
        """An answer to a query of the operator; None when there is nothing."""
        headers = WAIT | ({"Daybook-After": after} if after else {})
        answer = await self._doors["operator"].get(path, params=parameters, headers=headers)
        if answer.status_code == 404:
            return None
        assert answer.status_code == 200, f"{path}: {answer.status_code} {answer.text}"
        return answer.json()

    async def opens(self) -> None:
        """Puts the products on sale, and waits until orders know their prices."""
        for sku, price in PRICES.items():
            product = {"sku": sku, "price": price, "currency": "USD", "name": sku, "department": "shop"}
            await self.done("operator", "/products", product)
        lines = [{"sku": sku, "quantity": 1} for sku in PRICES]

        async def sold() -> bool:
            wish = order_of("nobody", "nowhere", "pm_ok", lines)
            return (await self.asks("storefront", "/orders", wish)).status_code == 200

        await until(sold, what="the prices to be known")

    async def customer(self) -> str:
        """A customer who may order."""
        name = new_id("customer")
        await self.done("storefront", f"/customers/{name}", {"name": "Ada", "email": f"{name}@example.org"})
        return name

    async def site(self, **goods: int) -> Site:
        """A site of its own that has received these goods."""
        site = Site(self, new_id("site"))
        if goods:
            await site.receives(**goods)
        return site

    async def settled(self, *streams: str, within: float = WITHIN_S) -> Story:
        """What happened in these streams and in those they act on, once nothing that it calls for is unanswered."""
        story = await self.record.story(streams)

        async def quiet() -> bool:
            nonlocal story
            await asyncio.sleep(len(story.happened) * READ_S)
            story = await self.record.story(streams)
            return not self.record.unfinished(story)

        try:
            await until(quiet, within)
        except AssertionError:
            raise AssertionError(f"not within {within:g} s: {self.record.unfinished(story)[:20]}") from None
        assert self.record.strays(story) == []
        return story

    async def order(
        self, site: Site, customer: str = "", pay: str = "pm_ok", by: str = "storefront", **goods: int
    ) -> Order:
        """An order of these goods, placed; by default of a customer of its own."""
        order = await self.basket(site, customer or await self.customer(), pay, **goods)
        await self.done(by, f"/orders/{order.id}", order.wish)
        return order

    async def basket(self, site: Site, customer: str, pay: str = "pm_ok", **goods: int) -> Order:
        """An order that is not placed yet."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in goods.items()]
        return Order(self, new_id("order"), site, order_of(customer, site.id, pay, lines))


@asynccontextmanager
async def opened(system: System) -> AsyncIterator[Shop]:
    """A shop in a running system, its products on sale."""
    async with AsyncExitStack() as stack:
        doors = {name: await stack.enter_async_context(door(system, name)) for name in PEOPLE}
        shop = Shop(system, await stack.enter_async_context(opened_record(system.settings)), doors)
        await shop.opens()
        yield shop


def door(system: System, principal: str) -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=system.url,
        headers={"X-API-Key": system.settings.api_key(principal)},
        timeout=2 * WITHIN_S,
        limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        trust_env=False,
        verify=False,  # It reads all certificates there are otherwise, for 0.1 s.
    )
