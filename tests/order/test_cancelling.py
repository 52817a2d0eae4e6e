"""When an order can be stopped, and what goes back then."""

import pytest

from common.messages import Event
from contexts.order.commands import CancelOrder, RecordDelivery, RecordDispatch, RecordPayment, RecordReservation
from contexts.order.events import (
    CancellationCameTooLate,
    CancellationRequested,
    OrderDelivered,
    OrderDispatched,
    OrderReturned,
    PaymentNoLongerNeeded,
    ReservationNoLongerNeeded,
)
from tests.order import ADMITTED, PLACED, READY_TO_GO, WAITING_FOR_THE_GOODS, WAITING_FOR_THE_MONEY, cancelled
from tests.scenario import NOW, given

CANCEL = CancelOrder("o1", "changed my mind")
CANCELLED = cancelled("asked", "changed my mind")
REQUESTED = CancellationRequested(cause="asked", reason="changed my mind", at=NOW)
GOODS_BACK = ReservationNoLongerNeeded(site="springfield", at=NOW)
MONEY_BACK = PaymentNoLongerNeeded(at=NOW)
DISPATCHED = OrderDispatched(site="springfield", at=NOW)


@pytest.mark.parametrize("past", [(PLACED,), (PLACED, ADMITTED)])
def test_an_order_that_holds_nothing_yet_is_cancelled_at_once(past: tuple[Event, ...]) -> None:
    given(*past).when(CANCEL).then(CANCELLED)


def test_an_order_that_holds_goods_gives_them_back() -> None:
    given(*WAITING_FOR_THE_MONEY).when(CANCEL).then(CANCELLED, GOODS_BACK)


def test_goods_that_were_set_aside_for_a_cancelled_order_go_back() -> None:
    reserved = RecordReservation("o1", "reserved", (), NOW)
    given(*WAITING_FOR_THE_GOODS, CANCELLED).when(reserved).then(GOODS_BACK)


def test_goods_that_were_refused_to_a_cancelled_order_need_nothing() -> None:
    refused = RecordReservation("o1", "refused", ("bananas",), NOW)
    given(*WAITING_FOR_THE_GOODS, CANCELLED).when(refused).then()


def test_money_that_was_authorised_for_a_cancelled_order_goes_back() -> None:
    authorised = RecordPayment("o1", "authorised", NOW)
    given(*WAITING_FOR_THE_MONEY, CANCELLED, GOODS_BACK).when(authorised).then(MONEY_BACK)


def test_money_that_was_declined_to_a_cancelled_order_needs_nothing() -> None:
    declined = RecordPayment("o1", "declined", NOW, reason="no funds")
    given(*WAITING_FOR_THE_MONEY, CANCELLED, GOODS_BACK).when(declined).then()


def test_a_confirmed_order_asks_delivery_before_it_is_cancelled() -> None:
    given(*READY_TO_GO).when(CANCEL).then(REQUESTED)


def test_while_delivery_is_asked_asking_again_changes_nothing() -> None:
    given(*READY_TO_GO, REQUESTED).when(CancelOrder("o1", "really")).then()


def test_an_order_that_delivery_has_not_sent_is_cancelled_and_gives_all_back() -> None:
    unsent = RecordDelivery("o1", "cancelled", NOW)
    given(*READY_TO_GO, REQUESTED).when(unsent).then(CANCELLED, GOODS_BACK, MONEY_BACK)


def test_an_order_that_has_left_meanwhile_is_cancelled_too_late() -> None:
    too_late = CancellationCameTooLate(at=NOW)
    given(*READY_TO_GO, REQUESTED).when(RecordDispatch("o1", NOW)).then(too_late, DISPATCHED)


@pytest.mark.parametrize(
    "since",
    [
        (),
        (OrderDelivered(customer_id="ada", total=258, currency="USD", at=NOW),),
        (OrderReturned(site="springfield", lines=(), reason="address unknown", at=NOW),),
    ],
)
def test_an_order_that_has_left_cannot_be_cancelled(since: tuple[Event, ...]) -> None:
    given(*READY_TO_GO, DISPATCHED, *since).when(CANCEL).then_rejected("order.has-left")


def test_cancelling_twice_changes_nothing() -> None:
    given(PLACED, CANCELLED).when(CancelOrder("o1", "really")).then()


def test_an_order_that_nobody_placed_cannot_be_cancelled() -> None:
    given().when(CANCEL).then_rejected("order.unknown")
