"""Those who ask and those who let wait: everything in a journey that is left to chance."""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from contexts.customer.commands import CloseAccount, RegisterCustomer, ReinstateCustomer, SuspendCustomer
from contexts.delivery.commands import ConfirmDelivered, DispatchDelivery, ReportFailedAttempt, ReturnToSender
from contexts.delivery.decider import Stage
from contexts.order.commands import Address, CancelOrder, PlaceOrder, RequestedLine
from contexts.order.events import OrderPaid
from contexts.payment.commands import RefundLine, RefundPayment
from contexts.stock.commands import CountStock, Goods, ReceiveStock
from tests.journeys.world import World
from tests.scenario import NOW

SITES = ("north", "south")
SKUS = ("tea", "jam", "rum")
CUSTOMERS = ("ada", "ben", "cleo")
AMOUNTS = (0, 259, 1, 100)
HOME = Address("Ada Miller", "12 Elm Street", "Springfield", "45501", "US")
T = TypeVar("T")
TRUSTED = "trusted-channel"
TOKEN = "pm_chosen_by_chance"


class Chance:
    """Chance from bytes, so that a story that goes wrong can be made shorter. Used up, it says 0."""

    def __init__(self, data: bytes) -> None:
        self._data, self._next = data, 0

    def __bool__(self) -> bool:
        return self._next < len(self._data)

    def below(self, number: int) -> int:
        """A number from 0; `number` is at most 256."""
        drawn = self._data[self._next] if self else 0
        self._next += 1
        return drawn % number

    def one(self, choices: Sequence[T]) -> T:
        return choices[self.below(len(choices))]


class People:
    """Customers, an operator, a warehouse, couriers, a bank with its moods, and messages that come when they come.

    `to_come` is how many orders are still to be placed, `diligence` how many of those who work do so to the end.
    """

    def __init__(self, world: World, chance: Chance) -> None:
        self.world, self.chance = world, chance
        self.to_come, self.placed, self.diligence = 3 + chance.below(6), 0, chance.below(4)
        for customer in CUSTOMERS[: 3 - chance.below(4) // 3]:
            self.register(customer)
        for site in SITES[: 2 - chance.below(4) // 3]:
            world.ask(ReceiveStock(site, tuple(Goods(sku, 2 + chance.below(12)) for sku in SKUS)), "warehouse")
        self.place()

    def move(self) -> None:
        """Mostly something that is under way comes a step further, else somebody does something."""
        drawn = self.chance.below(256)
        if drawn < len(DEEDS):
            DEEDS[drawn](self)
        else:
            self.go_on(drawn)

    def finish(self) -> None:
        """Who wanted to order does; who works finishes what is left, or does not; then deadlines pass until none is."""
        while self.to_come:
            self.place()
        self.world.come_to_rest()
        for order in self.orders[: len(self.orders) * self.diligence // 2]:
            self.world.ask(DispatchDelivery(order), "warehouse")
            self.world.ask(ConfirmDelivered(order), "courier")
        self.world.come_to_rest()
        while self.world.deadlines:
            for deadline in [*self.world.deadlines]:
                self.world.fire(deadline)
            self.world.come_to_rest()

    # What people do

    def place(self) -> None:
        if not self.to_come:
            return
        order, self.to_come, self.placed = f"o{self.placed}", self.to_come - 1, self.placed + 1
        skus = SKUS[self.chance.below(3) :]
        lines = tuple(RequestedLine(sku, self.chance.below(4), self.chance.one(AMOUNTS), "FOOD") for sku in skus)
        customer, site = self.chance.one(CUSTOMERS), self.chance.one(SITES)
        self.world.ask(PlaceOrder(order, customer, site, HOME, TOKEN, "USD", lines, "web", self.time()), TRUSTED)

    def cancel(self) -> None:
        self.world.ask(CancelOrder(self.chance.one(self.orders), "changed my mind"), "storefront")

    def register(self, customer: str) -> None:
        self.world.ask(RegisterCustomer(customer, customer, f"{customer}@example.org"), "storefront")

    def supervise(self) -> None:
        """The operator changes what a customer may."""
        customer = self.chance.one(CUSTOMERS)
        match self.chance.below(8):
            case 0 | 1:
                self.world.ask(SuspendCustomer(customer, "chargebacks"), "operator")
            case 2 | 3 | 4:
                self.world.ask(ReinstateCustomer(customer), "operator")
            case 5 | 6:
                self.register(customer)
            case _:
                self.world.ask(CloseAccount(customer), "storefront")

    def refund(self) -> None:
        """The operator pays back some of it, wisely or not."""
        lines = tuple(RefundLine(sku, self.chance.below(3), self.chance.one(AMOUNTS)) for sku in SKUS)
        rest = bool(self.chance.below(2))
        self.world.ask(RefundPayment(self.paid(), lines, "bruised", rest), "operator")

    def keep_store(self) -> None:
        site, sku = self.chance.one(SITES), self.chance.one(SKUS)
        if self.chance.below(2):
            self.world.ask(CountStock(site, sku, self.chance.below(6)), "warehouse")
        else:
            self.world.ask(ReceiveStock(site, (Goods(sku, 1 + self.chance.below(4)),), self.time()), TRUSTED)

    def dispatch(self) -> None:
        self.world.ask(DispatchDelivery(self.delivery_at(Stage.SCHEDULED), self.time()), TRUSTED)

    def carry(self) -> None:
        order = self.delivery_at(Stage.DISPATCHED)
        match self.chance.below(5):
            case 0:
                self.world.ask(ConfirmDelivered(order), "courier")
            case 1:
                self.world.ask(ReturnToSender(order, "address unknown", self.time()), TRUSTED)
            case _:
                self.world.ask(ReportFailedAttempt(order, "nobody at home"), "courier")

    # What the system does, in its own time

    def go_on(self, drawn: int) -> None:
        """One of the steps that can be taken: an event is reacted to, a command arrives, or the bank does as asked."""
        world = self.world
        steps = [*world.behind, *world.roads, *world.open]
        match steps[drawn % len(steps)] if steps else None:
            case str(call):
                world.call(call, well=True, times=1)
            case place if place in world.behind:
                world.react(place)
            case road if road in world.roads:
                world.deliver(road)

    def answer(self) -> None:
        """The bank does it or not, and says so once, twice or not at all."""
        if self.world.open:
            call, well, times = self.chance.one([*self.world.open]), self.chance.below(4) != 1, self.chance.below(3)
            self.world.call(call, well, times)

    def run_late(self) -> None:
        if self.world.deadlines:
            self.world.fire(self.chance.one([*self.world.deadlines]))

    def repeat(self) -> None:
        """Something is done once more, as after a crash."""
        match self.chance.below(4):
            case 0 if seen := [place for place, number in self.world.places.items() if number]:
                place = self.chance.one(seen)
                self.world.see_again(place, 1 + self.chance.below(self.world.places[place]))
            case 1 if self.world.fired:
                self.world.send(("deadline", "again"), self.chance.one(self.world.fired))
            case 2 if self.world.calls:
                self.world.open[self.chance.one([*self.world.calls])] = None
            case 3 if self.world.roads:
                self.world.deliver(self.chance.one([*self.world.roads]), again=True)

    # When, and whom it concerns

    def time(self) -> datetime | None:
        """When it was, as far as one may say; mostly nothing is said."""
        return self.chance.one((None, None, None, NOW - timedelta(days=300), self.world.now + timedelta(days=1)))

    @property
    def orders(self) -> list[str]:
        return [f"o{n}" for n in range(self.placed)]

    def delivery_at(self, stage: Stage) -> str:
        """An order whose delivery is at this stage; or none such, since people err."""
        fitting = [order for order in self.orders if self.world.stream("delivery", order).state.stage == stage]
        return self.chance.one(fitting or self.orders)

    def paid(self) -> str:
        """An order that was paid, if there is one."""
        fitting = [order for order in self.orders if self.world.stream("order", order).kinds[OrderPaid]]
        return self.chance.one(fitting or self.orders)


DEEDS: tuple[Callable[[People], None], ...] = (
    *(People.place,) * 10,
    *(People.dispatch,) * 8,
    *(People.carry,) * 8,
    *(People.answer,) * 8,
    *(People.refund,) * 4,
    *(People.keep_store,) * 6,
    *(People.repeat,) * 4,
    *(People.cancel,) * 2,
    *(People.supervise,) * 2,
    *(People.run_late,) * 2,
)
"""As often as they are done."""
