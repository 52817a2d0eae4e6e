"""order, as the shells run it."""

from common.context import Context, Reference
from contexts.order import commands, events
from contexts.order.decider import decide
from contexts.order.price_list import needs
from contexts.order.process import ASKS, PRICE_LIST, RECORDS, deadlines, expire
from contexts.order.state import Order, evolve

CONTEXT = Context(
    name="order",
    commands=(
        commands.PlaceOrder,
        commands.CancelOrder,
        commands.RecordAdmission,
        commands.RecordReservation,
        commands.RecordPayment,
        commands.RecordDispatch,
        commands.RecordDelivery,
        commands.RecordReturn,
        commands.ExpireOrder,
    ),
    events=(
        events.OrderPlaced,
        events.OrderAdmitted,
        events.OrderReserved,
        events.OrderConfirmed,
        events.OrderDispatched,
        events.OrderPaid,
        events.OrderDelivered,
        events.OrderReturned,
        events.OrderRefunded,
        events.OrderCancelled,
        events.CancellationRequested,
        events.CancellationCameTooLate,
        events.ReservationNoLongerNeeded,
        events.PaymentNoLongerNeeded,
        events.DeliveryRecalled,
        events.RefundOwed,
        events.PaymentFailed,
    ),
    initial=Order(),
    decide=decide,
    evolve=evolve,
    reference=Reference(model=PRICE_LIST, needs=needs),
    reactions={**RECORDS, **ASKS},
    deadlines=deadlines,
    expire=expire,
)
