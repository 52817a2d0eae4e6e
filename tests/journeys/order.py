"""What tests do with one order, and with the site that its goods are from: each of it a sentence.

`ends` and `holds` first wait until whatever the journey has asked for is answered, in the record itself; then they look
at what the read models tell of that record.
"""

from typing import TYPE_CHECKING, Any

from tests.journeys.record import Story
from tests.journeys.telling import Told, commands, tale

if TYPE_CHECKING:
    from tests.journeys.shop import Shop

PRICES = {"mug": 129, "hat": 1000}
PEOPLE = ("storefront", "operator", "warehouse", "courier", "replay")
WITHIN_S = 20
HOME = {"name": "Ada", "street": "1 Elm Street", "city": "Springfield", "postal_code": "45501", "country": "US"}


class Site:
    """Where goods lie."""

    def __init__(self, shop: "Shop", name: str) -> None:
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

    def __init__(self, shop: "Shop", name: str, site: Site, wish: dict[str, Any]) -> None:
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


def order_of(customer: str, site: str, pay: str, lines: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "customer_id": customer,
        "site": site,
        "deliver_to": HOME,
        "payment_method": pay,
        "currency": "USD",
        "lines": lines,
    }
