"""The journey of an order, and what of the world outside it rests on. The only module of order that knows others.

RECORDS: what happened elsewhere, and what the order notes of it. ASKS: what the order decided, and what others are
asked because of it. Every race between the two is settled by the rules of the order (`decider`).

PRICE_LIST: what order knows of products; every change of one keeps it current.
"""

from collections.abc import Mapping, Sequence
from datetime import timedelta
from typing import Any

from common.context import Deadline, Reaction
from common.messages import Event
from common.readmodel import Key, ReadModel
from contexts.customer.commands import AdmitOrder
from contexts.customer.events import AdmissionGranted, AdmissionRefused
from contexts.delivery import commands as delivery
from contexts.delivery.commands import CancelDelivery, ReturnToSender, ScheduleDelivery
from contexts.delivery.events import DeliveryCancelled, DeliveryConfirmed, DeliveryDispatched, DeliveryReturned
from contexts.order.commands import (
    ExpireOrder,
    PaidBack,
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
    OrderPlaced,
    OrderReserved,
    OrderReturned,
    PaymentNoLongerNeeded,
    RefundOwed,
    ReservationNoLongerNeeded,
)
from contexts.order.price_list import ListedPrice
from contexts.payment.commands import CapturePayment, RefundLine, RefundPayment, RequestPayment, VoidPayment
from contexts.payment.events import (
    CaptureFailed,
    PaymentAuthorised,
    PaymentCaptured,
    PaymentDeclined,
    PaymentRefunded,
    RefundFailed,
    VoidFailed,
)
from contexts.product.events import PriceChanged, ProductAdded, ProductDescribed, ProductDiscontinued
from contexts.stock import commands as stock
from contexts.stock.commands import ReleaseReservation, ReserveStock, ShipReservation, TakeBackReturn
from contexts.stock.events import ReservationBroken, ReservationRefused, StockReserved

RECORDS: Mapping[type[Event], Reaction] = {
    AdmissionGranted: lambda _, e: [RecordAdmission(e.order_id, "granted", "", e.at)],
    AdmissionRefused: lambda _, e: [RecordAdmission(e.order_id, "refused", e.reason, e.at)],
    StockReserved: lambda _, e: [RecordReservation(e.order_id, "reserved", (), e.at)],
    ReservationRefused: lambda _, e: [RecordReservation(e.order_id, "refused", tuple(s.sku for s in e.short), e.at)],
    ReservationBroken: lambda _, e: [RecordReservation(e.order_id, "broken", (e.sku,), e.at)],
    PaymentAuthorised: lambda order, e: [RecordPayment(order, "authorised", e.at)],
    PaymentDeclined: lambda order, e: [RecordPayment(order, "declined", e.at, reason=e.reason)],
    PaymentCaptured: lambda order, e: [RecordPayment(order, "captured", e.at, amount=e.amount)],
    PaymentRefunded: lambda order, e: [paid_back(order, e)],
    CaptureFailed: lambda order, e: [RecordPayment(order, "failed", e.at, "capture", e.reason)],
    VoidFailed: lambda order, e: [RecordPayment(order, "failed", e.at, "void", e.reason)],
    RefundFailed: lambda order, e: [RecordPayment(order, "failed", e.at, "refund", e.reason, e.refund)],
    DeliveryDispatched: lambda order, e: [RecordDispatch(order, e.at)],
    DeliveryConfirmed: lambda order, e: [RecordDelivery(order, "delivered", e.at)],
    DeliveryCancelled: lambda order, e: [RecordDelivery(order, "cancelled", e.at)],
    DeliveryReturned: lambda order, e: [RecordReturn(order, e.reason, e.at)],
}
ASKS: Mapping[type[Event], Reaction] = {
    OrderPlaced: lambda order, e: [AdmitOrder(e.customer_id, order, e.at)],
    OrderAdmitted: lambda order, e: [ReserveStock(e.site, order, shelf(e), e.at)],
    OrderReserved: lambda order, e: [RequestPayment(order, e.total, e.currency, e.payment_method, e.at)],
    OrderConfirmed: lambda order, e: [ScheduleDelivery(order, e.site, e.deliver_to, parcel(e), e.at)],
    OrderDispatched: lambda order, e: [ShipReservation(e.site, order, e.at), CapturePayment(order, at=e.at)],
    OrderReturned: lambda order, e: [TakeBackReturn(e.site, order, shelf(e), e.at)],
    CancellationRequested: lambda order, e: [CancelDelivery(order, e.reason, e.at)],
    DeliveryRecalled: lambda order, e: [ReturnToSender(order, e.reason, e.at)],
    ReservationNoLongerNeeded: lambda order, e: [ReleaseReservation(e.site, order, e.at)],
    PaymentNoLongerNeeded: lambda order, e: [VoidPayment(order, e.at)],
    RefundOwed: lambda order, e: [RefundPayment(order, owed(e), e.reason, rest=True, at=e.at)],
}


def shelf(event: OrderAdmitted | OrderReturned) -> tuple[stock.Goods, ...]:
    return tuple(stock.Goods(line.sku, line.quantity) for line in event.lines)


def parcel(event: OrderConfirmed) -> tuple[delivery.Goods, ...]:
    return tuple(delivery.Goods(line.sku, line.quantity) for line in event.lines)


def owed(event: RefundOwed) -> tuple[RefundLine, ...]:
    return tuple(RefundLine(line.sku, line.quantity, line.amount) for line in event.lines)


def paid_back(order: str, event: PaymentRefunded) -> RecordPayment:
    lines = tuple(PaidBack(line.sku, line.quantity, line.amount) for line in event.lines)
    return RecordPayment(order, "refunded", event.at, refund=event.refund, amount=event.amount, lines=lines)


PAY_WITHIN = timedelta(minutes=15)
DELIVER_WITHIN = timedelta(days=14)


def deadlines(event: Event) -> Sequence[Deadline]:
    """By when an order must be paid, and delivered, from the moment that was recorded.

    One that had left when it was to be stopped has its time again: the deadline may be what was to stop it.
    """
    match event:
        case OrderPlaced():
            return (Deadline("payment", PAY_WITHIN),)
        case OrderConfirmed():
            return (Deadline("payment", None), Deadline("delivery", DELIVER_WITHIN))
        case CancellationCameTooLate():
            return (Deadline("delivery", DELIVER_WITHIN),)
        case OrderCancelled():
            return (Deadline("payment", None), Deadline("delivery", None))
        case OrderDelivered() | OrderReturned():
            return (Deadline("delivery", None),)
        case _:
            return ()


def expire(order: str, deadline: Any) -> ExpireOrder:
    return ExpireOrder(order, deadline)


ProductEvent = ProductAdded | PriceChanged | ProductDescribed | ProductDiscontinued


def keys(stream: str, event: ProductEvent) -> list[Key]:
    return [(event.product.sku,)]


def apply(row: ListedPrice | None, stream: str, event: ProductEvent) -> ListedPrice:
    product = event.product
    return ListedPrice(
        sku=product.sku,
        product_id=product.product_id,
        price=product.price,
        currency=product.currency,
        department=product.department,
        discontinued=product.discontinued,
    )


PRICE_LIST = ReadModel(
    name="price_list",
    row=ListedPrice,
    key=("sku",),
    follows={"product": (ProductAdded, PriceChanged, ProductDescribed, ProductDiscontinued)},
    keys=keys,
    apply=apply,
)
