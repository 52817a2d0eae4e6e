"""A shop in which a test is a sentence: who orders what, what then happens to it, and how it has to end.

Everything is asked for over HTTP, by the principal whose work it is. `ends` and `holds` first wait until whatever the
journey has asked for is answered, in the record itself; then they look at what the read models tell of that record.
"""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from uuid import uuid4

import httpx

from tests.journeys.record import Record, Story
from tests.journeys.record import opened as opened_record
from tests.journeys.telling import Told, commands, tale
from tests.servers import System, until

PRICES = {"mug": 129, "hat": 1000}
WITHIN_S = 20
READ_S = 0.0002
"""About what an event takes to be read: so whoever waits for many looks again only after as long as that took."""
WAIT = {"Prefer": f"wait={WITHIN_S}"}
PEOPLE = ("storefront", "operator", "warehouse", "courier", "replay")
HOME = {"name": "Ada", "street": "1 Elm Street", "city": "Springfield", "postal_code": "45501", "country": "US"}


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

    async def site(self, **goods: int) -> "Site":
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
        self, site: "Site", customer: str = "", pay: str = "pm_ok", by: str = "storefront", **goods: int
    ) -> "Order":
        """An order of these goods, placed; by default of a customer of its own."""
        order = await self.basket(site, customer or await self.customer(), pay, **goods)
        await self.done(by, f"/orders/{order.id}", order.wish)
        return order

    async def basket(self, site: "Site", customer: str, pay: str = "pm_ok", **goods: int) -> "Order":
        """An order that is not placed yet."""
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in goods.items()]
        return Order(self, new_id("order"), site, order_of(customer, site.id, pay, lines))


def order_of(customer: str, site: str, pay: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "site": site,
        "deliver_to": HOME,
        "payment_method": pay,
        "currency": "USD",
        "lines": lines,
    }


class Site:
    """Where goods lie."""

    def __init__(self, shop: Shop, name: str) -> None:
        self._shop, self.id = shop, name

    async def receives(self, **goods: int) -> None:
        lines = [{"sku": sku, "quantity": quantity} for sku, quantity in goods.items()]
        await self._shop.done("warehouse", f"/stock/{self.id}/receive", {"lines": lines})

    async def counts(self, sku: str, counted: int) -> None:
        await self._shop.done("warehouse", f"/stock/{self.id}/count", {"sku": sku, "counted": counted})

    async def holds(self, **levels: tuple[int, int]) -> None:
        """Of each product so much is on hand, and so much of it reserved, when all is answered."""
        assert await self.levels(await self._shop.settled(self.id)) == levels

    async def levels(self, story: Story) -> dict[str, tuple[int, int]]:
        """Of each product how much is on hand, and how much of it reserved, at least up to this story."""
        page = await self._shop.sees(f"/stock/{self.id}", after=f"stock={story.last('stock')}")
        return {each["sku"]: (each["on_hand"], each["reserved"]) for each in page["levels"]}


class Order:
    """One order on its journey."""

    def __init__(self, shop: Shop, name: str, site: Site, wish: dict[str, Any]) -> None:
        self._shop, self.id, self.site, self.wish = shop, name, site, wish

    @property
    def total(self) -> int:
        return sum(line.get("amount", line["quantity"] * PRICES[line["sku"]]) for line in self.wish["lines"])

    async def reaches(self, *states: str) -> None:
        """Waits until the order is in one of these states."""
        seen = await self._shop.sees(f"/orders/{self.id}", until=",".join(states), wait=str(WITHIN_S))
        assert seen["state"] in states, seen

    async def delivery_reaches(self, *states: str) -> None:
        seen = await self._shop.sees(f"/deliveries/{self.id}", until=",".join(states), wait=str(WITHIN_S))
        assert seen["state"] in states, seen

    async def payment_reaches(self, *states: str) -> None:
        seen = await self._shop.sees(f"/payments/{self.id}", until=",".join(states), wait=str(WITHIN_S))
        assert seen["state"] in states, seen

    async def is_cancelled(self) -> None:
        await self._shop.done("storefront", f"/orders/{self.id}/cancel", {"reason": "changed my mind"})

    async def cannot_be_cancelled(self) -> str:
        """The code of the rule that says so."""
        return await self._shop.refused("storefront", f"/orders/{self.id}/cancel", {"reason": "changed my mind"})

    async def leaves(self) -> None:
        """Confirmed, scheduled, and dispatched by the warehouse, unless it has left before."""
        await self.delivery_reaches("scheduled", "dispatched")
        await self._shop.done("warehouse", f"/deliveries/{self.id}/dispatch")

    async def arrives(self) -> None:
        await self._shop.done("courier", f"/deliveries/{self.id}/confirm")

    async def nobody_is_home(self) -> None:
        await self._shop.done("courier", f"/deliveries/{self.id}/report-failed-attempt", {"reason": "nobody at home"})

    async def goes_back(self) -> None:
        await self._shop.done("courier", f"/deliveries/{self.id}/return", {"reason": "address unknown"})

    async def pays_back(self, sku: str, quantity: int, amount: int) -> None:
        await self._shop.done("operator", f"/payments/{self.id}/refund", refund_of(sku, quantity, amount))

    async def pays_too_much_back(self, sku: str, quantity: int, amount: int) -> str:
        """The code of the rule that refuses it."""
        return await self._shop.refused("operator", f"/payments/{self.id}/refund", refund_of(sku, quantity, amount))

    async def ends(
        self,
        state: str,
        *,
        payment: str | None,
        delivery: str | None,
        paid: int = 0,
        refunded: int = 0,
        cause: str | None = None,
        problem: str | None = None,
        story: Story | None = None,
    ) -> Story:
        """So it stands when all is answered: order, money and delivery, and its timeline is complete.

        `story` is what happened to it and to others, if that is known to be all.
        """
        story = story or await self._shop.settled(self.id)
        order, money, parcel = await self.seen(story)
        shown = [order[name] for name in ("state", "paid", "refunded", "cancel_cause", "payment_problem")]
        assert shown == [state, paid, refunded, cause, problem], order
        assert (parcel and parcel["state"]) == delivery, parcel
        assert (money and money["state"]) == payment, money
        if money:
            assert (money["captured"], money["refunded"], money["being_refunded"]) == (paid, refunded, 0), money
            assert money["authorised"] == (0 if payment == "declined" else self.total), money
        await self.has_a_complete_timeline()
        return story

    async def seen(self, story: Story) -> tuple[Any, Any, Any]:
        """Order, payment and delivery as the read models show them, at least up to this story."""
        paths = {"order": f"/orders/{self.id}", "payment": f"/payments/{self.id}", "delivery": f"/deliveries/{self.id}"}
        found = [await self._shop.sees(path, after=f"{name}={story.last(name)}") for name, path in paths.items()]
        return found[0], found[1], found[2]

    async def timeline(self) -> dict[str, Any]:
        found: dict[str, Any] = await self._shop.sees(f"/orders/{self.id}/timeline")
        return found

    async def tale(self) -> str:
        return tale(await self.timeline())

    async def has_a_complete_timeline(self) -> None:
        """It shows every command that goes back to a wish about this order, and every one of a reaction, a deadline or
        the provider under the event that caused it, all under the wish that they go back to."""
        timeline = await self.timeline()
        assert (timeline["missing"], timeline["cut"]) == ([], False)
        shown = {told.name: told for told in commands(timeline)}
        recorded = await self._shop.record.led_to(told.top["command_id"] for told in shown.values())
        assert set(shown) == set(recorded), tale(timeline)
        for name, told in shown.items():
            by_people = told.command["principal"] in PEOPLE
            assert by_people == (told.depth == 0) or told.is_void_deadline, told.line
            assert told.is_void_deadline or recorded[name].correlation_id == told.top["command_id"], told.line

    async def told(self, command: str) -> list[Told]:
        """The commands of this type on its timeline."""
        return [told for told in commands(await self.timeline()) if told.command["type"] == command]


def refund_of(sku: str, quantity: int, amount: int) -> dict[str, Any]:
    return {"lines": [{"sku": sku, "quantity": quantity, "amount": amount}], "reason": "bruised"}


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
