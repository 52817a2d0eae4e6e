"""order's own price list: what it knows of products, and what a line costs by it."""

from typing import Any

from msgspec import Struct

from common.messages import Rejected
from contexts.order.commands import CancelOrder, PlaceOrder, RequestedLine
from contexts.order.events import OrderLine

MAX_AMOUNT = 10**12
"""The bound of `Money`: it holds for a line and for an order's total, whoever decided the amounts."""

UNKNOWN = "unknown"
"""The department of a product that is in no list."""


class ListedPrice(Struct, frozen=True, kw_only=True, gc=False):
    """A product on the list. `price` is in minor units of `currency`."""

    sku: str
    product_id: str
    price: int
    currency: str
    department: str
    discontinued: bool


def needs(command: PlaceOrder | CancelOrder) -> tuple[str, ...]:
    """The SKUs whose rows the rules will look at. A line that states amount and department needs none."""
    if not isinstance(command, PlaceOrder):
        return ()
    return tuple(line.sku for line in command.lines if line.amount is None or line.department is None)


def priced(line: RequestedLine, currency: str, listed: ListedPrice | None) -> OrderLine:
    """The line as it is sold. Raises `Rejected` when its amount is not stated and the list does not give one."""
    department = line.department or (listed.department if listed else UNKNOWN)
    if line.amount is not None:
        price, amount = line.unit_price, line.amount
    else:
        price = present_price(line, currency, listed)
        amount = price * line.quantity
    if amount > MAX_AMOUNT:
        raise too_much(sku=line.sku, amount=amount)
    return OrderLine(sku=line.sku, department=department, quantity=line.quantity, amount=amount, unit_price=price)


def present_price(line: RequestedLine, currency: str, listed: ListedPrice | None) -> int:
    """The price by the list, if the product is sold now, in this currency, at the price that the shopper saw."""
    if listed is None:
        raise Rejected("order.unknown-sku", f"{line.sku} is not on the price list", sku=line.sku)
    if listed.discontinued:
        raise Rejected("order.discontinued", f"{line.sku} is sold no more", sku=line.sku)
    present: dict[str, Any] = {"sku": line.sku, "price": listed.price, "currency": listed.currency}
    if listed.currency != currency:
        raise Rejected("order.wrong-currency", f"{line.sku} is sold in {listed.currency}, not in {currency}", **present)
    if line.unit_price not in (None, listed.price):
        raise Rejected("order.price-changed", f"{line.sku} costs {listed.price} now, not {line.unit_price}", **present)
    return listed.price


def too_much(**detail: Any) -> Rejected:
    return Rejected("order.amount-too-large", f"an amount is at most {MAX_AMOUNT}", most=MAX_AMOUNT, **detail)
