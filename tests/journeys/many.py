"""Many orders at once: placing them at a rate, moving them on, and whether everything happened once."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import TypeVar

import msgspec
from msgspec import Struct, field

from contexts.payment.events import PaymentAuthorised, PaymentCaptured
from gateway.cli.keepalive import KeepAlive
from tests.integration.ordering import ask
from tests.journeys.order import PRICES, WITHIN_S, Order, Site
from tests.journeys.record import Story
from tests.journeys.shop import Shop
from tests.servers import System, until

AT_ONCE = 32
AGAIN, AGAIN_S = (503, 504), 0.2
BY_ORDER = ("order", "payment", "delivery")
"""The contexts whose streams are named by orders; the others' events name the order that they are about."""
REPEATABLE = {"DeliveryAttemptFailed", "OrderRefunded", "RefundRequested", "PaymentRefunded"}
"""What may happen to one order more than once. All else that does was doubled."""


class Answers(Struct):
    """Answers by status, how long each took, in seconds, and how often an order had to be sent again."""

    statuses: Counter[int] = field(default_factory=Counter)
    took_s: list[float] = field(default_factory=list)
    again: int = 0

    @property
    def slowest_ms(self) -> float:
        return max(self.took_s) * 1000


class Crowd:
    """Orders of one mug each, of some customers at some sites. None is placed yet."""

    def __init__(self, shop: Shop, sites: list[Site], orders: list[Order]) -> None:
        self.shop, self.sites, self.orders = shop, sites, orders
        self._doors = {name: lean_door(shop.system, name) for name in ("storefront", "warehouse", "courier")}

    async def come(self, rate: float = 0) -> Answers:
        """All orders are placed: so many a second, or as fast as they are taken. Nobody waits for a decision."""
        answers, begun = Answers(), time.monotonic()

        async def place(number: int, order: Order) -> None:
            await asyncio.sleep(begun + number / rate - time.monotonic() if rate else 0)
            while not await self._takes(order, answers):
                answers.again += 1
                await asyncio.sleep(AGAIN_S)

        await each_of(list(enumerate(self.orders)), lambda it: place(*it), len(self.orders) if rate else AT_ONCE)
        return answers

    async def leave(self, orders: Sequence[Order] | None = None) -> None:
        """The warehouse dispatches them; each must be scheduled."""
        await each_of(self._those(orders), lambda order: self._done("warehouse", f"/deliveries/{order.id}/dispatch"))

    async def arrive(self, orders: Sequence[Order] | None = None) -> None:
        """The courier hands them over; each must have left."""
        await each_of(self._those(orders), lambda order: self._done("courier", f"/deliveries/{order.id}/confirm"))

    def close(self) -> None:
        for door in self._doors.values():
            door.close()

    async def reached(self, table: str, *states: str) -> int:
        """How many of them a read model (`orders`, `payments`, `deliveries`) shows in one of these states."""
        sql = f"SELECT count(*) FROM read.{table} WHERE order_id = ANY($1) AND state = ANY($2)"
        found = await ask(self.shop.system.settings.read_dsn, sql, [order.id for order in self.orders], list(states))
        assert isinstance(found, int)
        return found

    async def reach(self, table: str, *states: str, number: int = 0, within: float = 60) -> None:
        """Waits until so many of them, by default all, are in one of these states."""
        wanted = number or len(self.orders)

        async def there() -> bool:
            await asyncio.sleep(0.1)  # So many rows are not counted all the time.
            return await self.reached(table, *states) >= wanted

        await until(there, within, f"{wanted} {table} to be {' or '.join(states)}")

    async def settled(self, within: float = 60) -> Story:
        """What happened to all of them, once nothing is unanswered; and nothing happened twice."""
        story = await self.shop.settled(*(site.id for site in self.sites), *(o.id for o in self.orders), within=within)
        assert doubled(story) == []
        return story

    async def _takes(self, order: Order, answers: Answers) -> bool:
        """Whether an order is answered for good; else it is unknown, and has to be sent again under its own id."""
        asked, body = time.monotonic(), msgspec.json.encode(order.wish)
        try:
            reply = await self._doors["storefront"].post(
                f"/orders/{order.id}", body, f"Idempotency-Key: {order.id}\r\n"
            )
        except (OSError, TimeoutError):
            return False
        if reply.status in AGAIN:
            return False
        answers.statuses[reply.status] += 1
        answers.took_s.append(time.monotonic() - asked)
        return True

    async def _done(self, principal: str, path: str) -> None:
        """A command that must be accepted, however often it is to be asked for; asking again changes nothing."""
        while True:
            try:
                reply = await self._doors[principal].post(path, b"{}", f"Prefer: wait={WITHIN_S}\r\n")
            except (OSError, TimeoutError):
                continue
            if reply.status == 200:
                return
            assert reply.status in (202, *AGAIN), f"{path}: {reply.status} {reply.body.decode()}"
            await asyncio.sleep(AGAIN_S)

    def _those(self, orders: Sequence[Order] | None) -> Sequence[Order]:
        return self.orders if orders is None else orders


def lean_door(system: System, principal: str) -> KeepAlive:
    """For many requests: it takes a tenth of what the other one takes."""
    return KeepAlive(system.url, system.settings.api_key(principal))


@asynccontextmanager
async def crowd(shop: Shop, number: int, *, mugs: int, sites: int = 2, customers: int = 10) -> AsyncIterator[Crowd]:
    """So many orders; each site has received so many mugs."""
    stores = [await shop.site(mug=mugs) for _ in range(sites)]
    people = await asyncio.gather(*(shop.customer() for _ in range(customers)))
    orders = [await shop.basket(stores[n % sites], people[n % customers], mug=1) for n in range(number)]
    them = Crowd(shop, stores, orders)
    try:
        yield them
    finally:
        them.close()


T = TypeVar("T")


async def each_of(them: Iterable[T], work: Callable[[T], Awaitable[None]], at_once: int = AT_ONCE) -> None:
    """Does the work for each of them, in order, so many at a time."""
    waiting = iter(them)

    async def line() -> None:
        for each in waiting:
            await work(each)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(line())


def doubled(story: Story) -> list[str]:
    """What happened to one order more than once and should not."""
    counts = Counter(
        (each.type, getattr(event, "order_id", each.stream))
        for each, event in story.happened
        if each.context in BY_ORDER or hasattr(event, "order_id")
    )
    return [f"{n} times {what} of {order}" for (what, order), n in counts.items() if n > 1 and what not in REPEATABLE]


def money(story: Story, what: type[PaymentAuthorised | PaymentCaptured]) -> int:
    """How much was set aside, or taken, in all."""
    return sum(event.amount for _, event in story.happened if isinstance(event, what))


async def all_delivered(buyers: Crowd, within: float = 60) -> None:
    """All of them are, and are paid once; no goods are left at the sites, which had no more than was ordered."""
    number = len(buyers.orders)
    await buyers.reach("deliveries", "scheduled", "dispatched", "delivered", within=within)
    await buyers.leave()
    await buyers.arrive()
    story = await buyers.settled(within)
    await buyers.reach("orders", "delivered")
    for kind in ("AuthorisationRequested", "PaymentAuthorised", "CaptureRequested", "PaymentCaptured"):
        assert story.counted("payment")[kind] == number
    assert money(story, PaymentAuthorised) == money(story, PaymentCaptured) == number * PRICES["mug"]
    for site in buyers.sites:
        assert await site.levels(story) == {"mug": (0, 0)}
    await buyers.orders[0].ends("delivered", payment="captured", delivery="delivered", paid=129, story=story)
