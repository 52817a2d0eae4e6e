"""Orders as a real basket makes them."""

from functools import cache
from uuid import uuid4

from msgspec.structs import replace

from contexts.order.commands import PlaceOrder
from gateway.cli.baskets import Baskets


@cache
def first_basket() -> PlaceOrder:
    """Read once: it takes a while, during which no answer could be heard."""
    with Baskets(1) as first:
        (basket,) = first
    return basket.order


def some_basket() -> PlaceOrder:
    """The first basket as an order of its own."""
    return replace(first_basket(), order_id=uuid4().hex, channel="test")
