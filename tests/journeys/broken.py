"""Rules broken on purpose, to see whether anybody would notice.

Each takes the contexts and gives them with one rule broken: as if its author had forgotten it.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec.structs import replace

from common.context import Context, Deadline, Known
from common.messages import Command, Event
from contexts.customer.commands import AdmitOrder
from contexts.customer.decider import Stage as Standing
from contexts.delivery.commands import CancelDelivery, DispatchDelivery
from contexts.delivery.decider import Stage as Way
from contexts.order.commands import ExpireOrder, RecordPayment, RecordReservation, RecordReturn
from contexts.order.events import (
    CancellationCameTooLate,
    DeliveryRecalled,
    OrderDispatched,
    PaymentNoLongerNeeded,
    RefundOwed,
    ReservationNoLongerNeeded,
)
from contexts.order.state import Stage
from contexts.payment.commands import CapturePayment, RefundPayment
from contexts.stock.commands import CountStock, Goods, ReserveStock
from contexts.stock.events import ReservationBroken
from contexts.stock.site import Site

Contexts = Mapping[str, Context]
Broken = Callable[[Contexts], Contexts]
PLENTY = 10**9


def with_decide(contexts: Contexts, name: str, decide: Callable[[Any, Any, Known], Sequence[Event]]) -> Contexts:
    return {**contexts, name: replace(contexts[name], decide=decide)}


def believing(contexts: Contexts, name: str, kind: type[Command], believe: Callable[[Any], Any]) -> Contexts:
    """Commands of this kind are decided by what the context believes instead of by what is so."""
    right = contexts[name].decide

    def decide(command: Any, state: Any, known: Known) -> Sequence[Event]:
        return right(command, believe(state) if isinstance(command, kind) else state, known)

    return with_decide(contexts, name, decide)


def forgetting(contexts: Contexts, name: str, kind: type[Command], forgotten: type[Event]) -> Contexts:
    """Commands of this kind never lead to that event."""
    right = contexts[name].decide

    def decide(command: Any, state: Any, known: Known) -> Sequence[Event]:
        events = right(command, state, known)
        return [each for each in events if not (isinstance(command, kind) and isinstance(each, forgotten))]

    return with_decide(contexts, name, decide)


def goods_that_come_too_late_stay_set_aside(contexts: Contexts) -> Contexts:
    return forgetting(contexts, "order", RecordReservation, ReservationNoLongerNeeded)


def money_that_comes_too_late_stays_set_aside(contexts: Contexts) -> Contexts:
    return forgetting(contexts, "order", RecordPayment, PaymentNoLongerNeeded)


def a_cancelled_order_is_confirmed_when_its_money_comes(contexts: Contexts) -> Contexts:
    def reserved(order: Any) -> Any:
        return replace(order, stage=Stage.RESERVED) if order.stage == Stage.CANCELLED else order

    return believing(contexts, "order", RecordPayment, reserved)


def an_overdue_order_is_not_called_back(contexts: Contexts) -> Contexts:
    return forgetting(contexts, "order", ExpireOrder, DeliveryRecalled)


def an_order_that_could_not_be_stopped_has_no_deadline(contexts: Contexts) -> Contexts:
    right = contexts["order"].deadlines

    def deadlines(event: Any) -> Sequence[Deadline]:
        return () if isinstance(event, CancellationCameTooLate) else right(event)

    return {**contexts, "order": replace(contexts["order"], deadlines=deadlines)}


def what_was_taken_before_it_came_back_is_not_owed(contexts: Contexts) -> Contexts:
    return forgetting(contexts, "order", RecordReturn, RefundOwed)


def goods_leave_and_nobody_tells_stock(contexts: Contexts) -> Contexts:
    right = contexts["order"].reactions
    tells_payment_alone = {OrderDispatched: lambda order, event: right[OrderDispatched](order, event)[1:]}
    return {**contexts, "order": replace(contexts["order"], reactions={**right, **tells_payment_alone})}


def a_suspended_customer_may_still_buy(contexts: Contexts) -> Contexts:
    def registered(customer: Any) -> Any:
        return replace(customer, stage=Standing.REGISTERED) if customer.stage == Standing.SUSPENDED else customer

    return believing(contexts, "customer", AdmitOrder, registered)


def stock_sets_aside_what_there_is(contexts: Contexts) -> Contexts:
    right = contexts["stock"].decide

    def decide(command: Any, site: Site, known: Known) -> Sequence[Event]:
        if isinstance(command, ReserveStock):
            there = [Goods(line.sku, min(line.quantity, site.available(line.sku))) for line in command.lines]
            command = replace(command, lines=tuple(line for line in there if line.quantity))
        return right(command, site, known)

    return with_decide(contexts, "stock", decide)


def stock_is_oversold(contexts: Contexts) -> Contexts:
    return believing(contexts, "stock", ReserveStock, lambda site: replace(site, reserved=Site().reserved))


def a_count_breaks_no_reservation(contexts: Contexts) -> Contexts:
    return forgetting(contexts, "stock", CountStock, ReservationBroken)


def more_is_paid_back_than_was_taken(contexts: Contexts) -> Contexts:
    return believing(contexts, "payment", RefundPayment, lambda payment: replace(payment, amount=PLENTY))


def a_return_is_paid_back_whatever_was_before(contexts: Contexts) -> Contexts:
    return believing(contexts, "payment", RefundPayment, lambda payment: replace(payment, refunds=()))


def the_money_is_taken_twice(contexts: Contexts) -> Contexts:
    right = contexts["payment"].decide

    def decide(command: Any, payment: Any, known: Known) -> Sequence[Event]:
        events = right(command, payment, known)
        return [*events, *events] if isinstance(command, CapturePayment) else events

    return with_decide(contexts, "payment", decide)


def a_cancelled_delivery_leaves(contexts: Contexts) -> Contexts:
    def scheduled(delivery: Any) -> Any:
        return replace(delivery, stage=Way.SCHEDULED) if delivery.stage == Way.CANCELLED else delivery

    return believing(contexts, "delivery", DispatchDelivery, scheduled)


def a_delivery_is_cancelled_after_it_left(contexts: Contexts) -> Contexts:
    def scheduled(delivery: Any) -> Any:
        return replace(delivery, stage=Way.SCHEDULED) if delivery.stage == Way.DISPATCHED else delivery

    return believing(contexts, "delivery", CancelDelivery, scheduled)


BROKEN: Sequence[Broken] = (
    goods_that_come_too_late_stay_set_aside,
    money_that_comes_too_late_stays_set_aside,
    a_cancelled_order_is_confirmed_when_its_money_comes,
    an_overdue_order_is_not_called_back,
    an_order_that_could_not_be_stopped_has_no_deadline,
    what_was_taken_before_it_came_back_is_not_owed,
    goods_leave_and_nobody_tells_stock,
    a_suspended_customer_may_still_buy,
    stock_sets_aside_what_there_is,
    stock_is_oversold,
    a_count_breaks_no_reservation,
    more_is_paid_back_than_was_taken,
    a_return_is_paid_back_whatever_was_before,
    the_money_is_taken_twice,
    a_cancelled_delivery_leaves,
    a_delivery_is_cancelled_after_it_left,
)
