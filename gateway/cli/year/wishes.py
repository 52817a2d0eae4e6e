"""What is asked of the system so that a grocer's year happens in it: rows of the file as commands.

Each has an id made of what it is about, so that asking again changes nothing. The file knows no names and no addresses,
and somebody has to be delivered to. A till hands over what it sells: a basket leaves, and arrives, when it is bought.
"""

from datetime import UTC, datetime
from typing import Any

from contexts.customer.commands import RegisterCustomer
from contexts.delivery.commands import ConfirmDelivered, DispatchDelivery
from contexts.order.commands import Address, PlaceOrder, RequestedLine
from contexts.product.commands import AddProduct
from contexts.stock.commands import Goods, ReceiveStock
from gateway.cli.sending import Wish

CHANNEL = "replay"
PAYMENT, CURRENCY = "pm_ok", "USD"
NOBODY = Address("A Household", "1 Main Street", "Springfield", "45501", "US")
ORDER, SITE = "basket-", "store-"


class Basket(Wish[PlaceOrder], frozen=True):
    """One basket as an order."""

    @property
    def order(self) -> PlaceOrder:
        return self.command


def basket(row: tuple[Any, ...]) -> Basket:
    number, sold_at, buyer, store, *columns = row
    lines = tuple(
        RequestedLine(sku, quantity, cents, department)
        for sku, quantity, cents, department in zip(*columns, strict=True)
    )
    order = PlaceOrder(
        order_id=order_id(number),
        customer_id=customer_id(buyer),
        site=site(store),
        deliver_to=NOBODY,
        payment_method=PAYMENT,
        currency=CURRENCY,
        lines=lines,
        channel=CHANNEL,
        at=sold_at.replace(tzinfo=UTC),
    )
    return Basket(placing_id(order.order_id), order)


def placing_id(order: str) -> str:
    """The id under which a basket is ordered."""
    return f"replay-{order.removeprefix(ORDER)}"


def household(row: tuple[Any, ...]) -> Wish[RegisterCustomer]:
    """An e-mail that is nobody's is made up."""
    (number,) = row
    name = customer_id(number)
    command = RegisterCustomer(customer_id=name, name=f"Household {number}", email=f"{name}@example.org")
    return Wish(f"replay-{name}", command)


def received(row: tuple[Any, ...]) -> Wish[ReceiveStock]:
    """One chunk of what a store gets for a block of baskets, just before the first of them."""
    block, first_sale, store, chunk, *columns = row
    lines = tuple(Goods(sku, quantity) for sku, quantity in zip(*columns, strict=True))
    command = ReceiveStock(site(store), lines, first_sale.replace(tzinfo=UTC))
    return Wish(stock_id(store, block, chunk), command)


def stock_id(store: int, block: int, chunk: int) -> str:
    """The id under which a chunk of goods comes to a store, for the block that begins at this place."""
    return f"replay-stock-{store}-{block}-{chunk}"


def product(row: tuple[Any, ...]) -> Wish[AddProduct]:
    """The file knows no names of products either: what it is, and how much of it is in a package, stand for one."""
    number, what, size, department, brand, category, price = row
    command = AddProduct(
        product_id=f"product-{number}",
        sku=str(number),
        name=" ".join(filter(None, (what, size))),
        department=department,
        price=price,
        currency=CURRENCY,
        description=", ".join(filter(None, (category, brand and f"{brand} brand"))),
    )
    return Wish(f"replay-product-{number}", command)


def dispatched(order: str, at: datetime) -> Wish[DispatchDelivery]:
    return Wish(f"replay-dispatched-{order}", DispatchDelivery(order, at))


def delivered(order: str, at: datetime) -> Wish[ConfirmDelivered]:
    return Wish(f"replay-delivered-{order}", ConfirmDelivered(order, at))


def customer_id(household: int) -> str:
    return f"household-{household}"


def site(store: int) -> str:
    return f"{SITE}{store}"


def order_id(number: int) -> str:
    return f"{ORDER}{number}"
