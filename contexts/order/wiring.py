"""order, as the shells run it."""

from common.context import Context, Reference
from contexts.order.commands import CancelOrder, PlaceOrder
from contexts.order.decider import Order, decide, evolve
from contexts.order.events import OrderCancelled, OrderPlaced
from contexts.order.price_list import needs
from contexts.order.process import PRICE_LIST

CONTEXT = Context(
    name="order",
    commands=(PlaceOrder, CancelOrder),
    events=(OrderPlaced, OrderCancelled),
    initial=Order(),
    decide=decide,
    evolve=evolve,
    reference=Reference(model=PRICE_LIST, needs=needs),
)
