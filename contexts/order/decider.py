"""The rules of an order: what may happen to it, and what then did.

What was asked of others while it could still change its mind is settled here when the answer comes: goods that were
set aside for an order cancelled meanwhile are no longer needed, nor is money that was authorised for it.
"""

from datetime import datetime

from msgspec.structs import replace

from common.context import Known
from common.messages import Event, Rejected
from contexts.order.commands import (
    CancelOrder,
    ExpireOrder,
    PlaceOrder,
    RecordAdmission,
    RecordDelivery,
    RecordDispatch,
    RecordPayment,
    RecordReservation,
    RecordReturn,
)
from contexts.order.events import (
    CancellationCameTooLate,
    CancellationRequested,
    DeliveryRecalled,
    OrderAdmitted,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderDispatched,
    OrderPaid,
    OrderRefunded,
    OrderReserved,
    OrderReturned,
    PaymentFailed,
    PaymentNoLongerNeeded,
    RefundableLine,
    RefundedLine,
    RefundOwed,
    ReservationNoLongerNeeded,
)
from contexts.order.placing import placed
from contexts.order.price_list import UNKNOWN
from contexts.order.state import Order, Stage

OrderCommand = (
    PlaceOrder
    | CancelOrder
    | ExpireOrder
    | RecordAdmission
    | RecordDelivery
    | RecordDispatch
    | RecordPayment
    | RecordReservation
    | RecordReturn
)


UNPAID = (Stage.PLACED, Stage.ADMITTED, Stage.RESERVED)
LEFT = (Stage.DISPATCHED, Stage.DELIVERED, Stage.RETURNED)


def decide(command: OrderCommand, order: Order, known: Known) -> list[Event]:
    """What happens when this is asked. Raises `Rejected` when a rule says no."""
    match command, order.stage:
        case PlaceOrder(), Stage.NEW:
            return [placed(command, known)]
        case PlaceOrder(order_id=order_id), _:
            raise Rejected("order.already-placed", f"there is an order {order_id} already")
        case _, Stage.NEW:
            raise Rejected("order.unknown", f"there is no order {command.order_id}")
        case CancelOrder(reason=reason), _:
            return asked_to_stop(order, reason, known.at)
        case ExpireOrder(deadline=deadline), _:
            return expired(order, deadline, known.at)
        case RecordAdmission(), _:
            return admission(command, order)
        case RecordReservation(), _:
            return reservation(command, order)
        case RecordPayment(), _:
            return payment(command, order)
        case RecordDispatch(at=at), Stage.CONFIRMED:
            return [OrderDispatched(site=order.site, at=at)]
        case RecordDispatch(at=at), Stage.CANCELLING:
            return [CancellationCameTooLate(at=at), OrderDispatched(site=order.site, at=at)]
        case RecordDelivery(outcome="delivered", at=at), Stage.DISPATCHED:
            return [OrderDelivered(customer_id=order.customer_id, total=order.total, currency=order.currency, at=at)]
        case RecordDelivery(outcome="cancelled", at=at), Stage.CANCELLING:
            return [*cancelled(order, *order.cancelling, at), PaymentNoLongerNeeded(at=at)]
        case RecordReturn(reason=reason, at=at), Stage.DISPATCHED:
            back = OrderReturned(site=order.site, lines=order.goods, reason=reason, at=at)
            return [back, *refund_owed(order, order.paid, "returned", at)]
        case _:
            return []  # It is known already, or means nothing any more.


def asked_to_stop(order: Order, reason: str, at: datetime) -> list[Event]:
    """A customer's wish. Once goods and money are sure, only delivery knows whether it has left."""
    if order.stage in LEFT:
        raise Rejected("order.has-left", f"the order has left: it is {order.stage}", stage=str(order.stage))
    return stopped(order, "asked", reason, at)


def stopped(order: Order, cause: str, reason: str, at: datetime) -> list[Event]:
    if order.stage in UNPAID:
        return cancelled(order, cause, reason, at)
    if order.stage == Stage.CONFIRMED:
        return [CancellationRequested(cause=cause, reason=reason, at=at)]
    return []


def cancelled(order: Order, cause: str, reason: str, at: datetime) -> list[Event]:
    """It ends here; what is set aside for it goes back."""
    end = OrderCancelled(
        cause=cause,
        reason=reason,
        at=at,
        site=order.site,
        channel=order.channel,
        currency=order.currency,
        lines=order.lines,
    )
    return [end, ReservationNoLongerNeeded(site=order.site, at=at)] if order.reserved else [end]


def expired(order: Order, deadline: str, at: datetime) -> list[Event]:
    if deadline == "payment" and order.stage in UNPAID:
        return cancelled(order, "not-paid-in-time", "it was not paid in time", at)
    if deadline == "delivery" and order.stage == Stage.CONFIRMED:
        return stopped(order, "not-delivered-in-time", "it was not delivered in time", at)
    if deadline == "delivery" and order.stage == Stage.DISPATCHED and "recalled" not in order.noted:
        return [DeliveryRecalled(reason="it was not delivered in time", at=at)]
    return []


def admission(command: RecordAdmission, order: Order) -> list[Event]:
    if order.stage != Stage.PLACED:
        return []
    if command.outcome == "refused":
        return cancelled(order, "customer-refused", f"the customer is {command.reason}", command.at)
    return [OrderAdmitted(site=order.site, lines=order.goods, at=command.at)]


def reservation(command: RecordReservation, order: Order) -> list[Event]:
    at = command.at
    match command.outcome, order.stage:
        case "reserved", Stage.ADMITTED:
            return [reserved(order, at)]
        case "refused", Stage.ADMITTED:
            return cancelled(order, "out-of-stock", f"not enough of {', '.join(command.skus)}", at)
        case "reserved", Stage.CANCELLED:
            return [ReservationNoLongerNeeded(site=order.site, at=at)]
        case "broken", Stage.RESERVED | Stage.CONFIRMED:
            lost = replace(order, reserved=False)
            return stopped(lost, "stock-missing", f"a count found too little of {', '.join(command.skus)}", at)
        case _:
            return []


def reserved(order: Order, at: datetime) -> OrderReserved:
    return OrderReserved(total=order.total, currency=order.currency, payment_method=order.payment_method, at=at)


def payment(command: RecordPayment, order: Order) -> list[Event]:
    at = command.at
    match command.outcome, order.stage:
        case "authorised", Stage.RESERVED:
            assert order.deliver_to is not None
            return [OrderConfirmed(site=order.site, deliver_to=order.deliver_to, lines=order.goods, at=at)]
        case "authorised", Stage.CANCELLED:
            return [PaymentNoLongerNeeded(at=at)]
        case "declined", Stage.RESERVED:
            return cancelled(order, "payment-declined", command.reason, at)
        case "captured", stage if stage in LEFT and order.paid is None:
            taken = OrderPaid(amount=command.amount, currency=order.currency, at=at)
            owed = command.amount if stage == Stage.RETURNED else 0
            return [taken, *refund_owed(order, owed, "returned", at)]
        case "refunded", _ if f"refunded {command.refund}" not in order.noted:
            return [refunded(command, order)]
        case "failed", _ if f"failed {command.step} {command.refund}" not in order.noted:
            return [PaymentFailed(step=command.step, refund=command.refund, reason=command.reason, at=at)]
        case _:
            return []


def refund_owed(order: Order, paid: int | None, reason: str, at: datetime) -> list[Event]:
    """What was taken is owed. What of it was paid back before, payment knows."""
    lines = tuple(RefundableLine(line.sku, line.quantity, line.amount) for line in order.lines if line.amount)
    return [RefundOwed(lines=lines, reason=reason, at=at)] if paid else []


def refunded(command: RecordPayment, order: Order) -> OrderRefunded:
    departments = {line.sku: line.department for line in order.lines}
    lines = tuple(
        RefundedLine(line.sku, departments.get(line.sku, UNKNOWN), line.quantity, line.amount) for line in command.lines
    )
    return OrderRefunded(
        refund=command.refund,
        site=order.site,
        currency=order.currency,
        amount=command.amount,
        lines=lines,
        at=command.at,
        channel=order.channel,
    )
