"""What the events of an order add to sales: rows that say what was booked on a day, or in a month, for a group.

A group is all sales, those of a department, of a site, of a department at a site, or of a product; a field that is ""
stands for all. All but the first and the last have rows for months, too, which keep questions about a year cheap: all
sales are few rows anyway, and a product is not sold at all on most days.
"""

from collections.abc import Iterable
from datetime import UTC, date
from typing import Literal

from msgspec import Struct

from common.readmodel import Key
from contexts.order.events import OrderCancelled, OrderPlaced, OrderRefunded

OrderEvent = OrderPlaced | OrderCancelled | OrderRefunded
Booked = Literal["sold", "cancelled", "refunded"]
Span = Literal["day", "month"]
Share = tuple[int, int]
"""Units and amount."""

BOOKED: dict[type[OrderEvent], Booked] = {
    OrderPlaced: "sold",
    OrderCancelled: "cancelled",
    OrderRefunded: "refunded",
}


class Booking(Struct, frozen=True):
    """What was booked for a group in the span of time that begins on `day`: `amount` in minor units of the currency."""

    sku: str
    department: str
    site: str
    span: Span
    currency: str
    day: date
    channel: str
    booked: Booked
    orders: int
    units: int
    amount: int


def booked(stream: str, event: OrderEvent) -> dict[Key, tuple[int, ...]]:
    """What an event adds to which rows, on the business day of what happened."""
    day = event.at.astimezone(UTC).date()
    month, currency, how = day.replace(day=1), event.currency, (event.channel, BOOKED[type(event)])
    found: dict[Key, tuple[int, ...]] = {}
    for (sku, department, site), share in shares(event).items():
        found[sku, department, site, "day", currency, day, *how] = (1, *share)
        if department or site:
            found[sku, department, site, "month", currency, month, *how] = (1, *share)
    return found


def shares(event: OrderEvent) -> dict[tuple[str, str, str], Share]:
    """The share of each group: SKU, department and site. There is none when there are no lines."""
    departments: dict[str, Share] = {}
    products: dict[str, Share] = {}
    for line in event.lines:
        for of, name in ((departments, line.department), (products, line.sku)):
            units, amount = of.get(name, (0, 0))
            of[name] = units + line.quantity, amount + line.amount
    found = {("", name, site): share for name, share in departments.items() for site in ("", event.site)}
    found |= {(sku, "", ""): share for sku, share in products.items()}
    if departments:
        found["", "", ""] = found["", "", event.site] = added_up(departments.values())
    return found


def added_up(shares: Iterable[Share]) -> Share:
    units, amounts = zip(*shares, strict=True)
    return sum(units), sum(amounts)
