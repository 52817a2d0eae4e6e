"""The rules of an order, as sentences; and what the sentences are made of."""

from datetime import UTC, datetime

from common.personal import Personal
from contexts.order.commands import Address, PlaceOrder, RequestedLine
from contexts.order.events import (
    GoodsLine,
    OrderAdmitted,
    OrderCancelled,
    OrderConfirmed,
    OrderLine,
    OrderPlaced,
    OrderReserved,
)
from contexts.order.price_list import ListedPrice
from tests.scenario import NOW, known

HOME = Address("Ada Miller", "12 Elm Street", "Springfield", "45501", "US")
BANANAS = ListedPrice(
    sku="bananas", product_id="p1", price=129, currency="USD", department="PRODUCE", discontinued=False
)
BREAD = ListedPrice(sku="bread", product_id="p2", price=250, currency="USD", department="BAKERY", discontinued=False)
COCOA = ListedPrice(sku="cocoa", product_id="p3", price=400, currency="USD", department="GROCERY", discontinued=True)
LIST = {listed.sku: listed for listed in (BANANAS, BREAD, COCOA)}
LAST_YEAR = datetime(2025, 11, 27, 18, 30, tzinfo=UTC)

STOREFRONT = known("storefront", reference=LIST)
TILL = known("trusted-channel", reference=LIST)


def order(*lines: RequestedLine, currency: str = "USD", at: datetime | None = None) -> PlaceOrder:
    """Ada's wish for these lines."""
    return PlaceOrder("o1", "ada", "springfield", HOME, "pm_ok", currency, lines, "web", at)


def placed(*lines: OrderLine, at: datetime = NOW) -> OrderPlaced:
    """Ada's order of these lines, as it is recorded."""
    return OrderPlaced(
        customer_id="ada",
        site="springfield",
        deliver_to=Personal(
            "ada",
            {
                "name": "Ada Miller",
                "street": "12 Elm Street",
                "city": "Springfield",
                "postal_code": "45501",
                "country": "US",
            },
        ),
        payment_method="pm_ok",
        currency="USD",
        channel="web",
        at=at,
        lines=lines,
    )


TWO_BANANAS = RequestedLine("bananas", 2)
TWO_BANANAS_SOLD = OrderLine(sku="bananas", department="PRODUCE", quantity=2, amount=258, unit_price=129)


def cancelled(cause: str, reason: str) -> OrderCancelled:
    """The end of the order of two bananas, which says what is not sold after all."""
    return OrderCancelled(
        cause=cause,
        reason=reason,
        at=NOW,
        site="springfield",
        channel="web",
        currency="USD",
        lines=(TWO_BANANAS_SOLD,),
    )


BANANAS_ON_THE_SHELF = (GoodsLine("bananas", 2),)
PLACED = placed(TWO_BANANAS_SOLD)
ADMITTED = OrderAdmitted(site="springfield", lines=BANANAS_ON_THE_SHELF, at=NOW)
RESERVED = OrderReserved(total=258, currency="USD", payment_method="pm_ok", at=NOW)
CONFIRMED = OrderConfirmed(site="springfield", deliver_to=PLACED.deliver_to, lines=BANANAS_ON_THE_SHELF, at=NOW)
WAITING_FOR_THE_GOODS = (PLACED, ADMITTED)
WAITING_FOR_THE_MONEY = (PLACED, ADMITTED, RESERVED)
READY_TO_GO = (PLACED, ADMITTED, RESERVED, CONFIRMED)
