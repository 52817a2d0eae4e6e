"""The way of an order from basket to doorstep, and how it ends when something fails."""

import pytest

from common.context import Deadline
from common.messages import Command, Event
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
    OrderDelivered,
    OrderDispatched,
    OrderLine,
    OrderPaid,
    OrderRefunded,
    OrderReturned,
    PaymentFailed,
    RefundableLine,
    RefundedLine,
    RefundOwed,
    ReservationNoLongerNeeded,
)
from contexts.order.process import DELIVER_WITHIN, PAY_WITHIN, deadlines
from tests.order import (
    ADMITTED,
    BANANAS_ON_THE_SHELF,
    CONFIRMED,
    PLACED,
    READY_TO_GO,
    RESERVED,
    WAITING_FOR_THE_GOODS,
    WAITING_FOR_THE_MONEY,
    cancelled,
    placed,
)
from tests.scenario import NOW, given

GOODS_BACK = ReservationNoLongerNeeded(site="springfield", at=NOW)
DISPATCHED = OrderDispatched(site="springfield", at=NOW)
PAID = OrderPaid(amount=258, currency="USD", at=NOW)
DELIVERED = OrderDelivered(customer_id="ada", total=258, currency="USD", at=NOW)
RETURNED = OrderReturned(site="springfield", lines=BANANAS_ON_THE_SHELF, reason="address unknown", at=NOW)
OWED = RefundOwed(lines=(RefundableLine("bananas", 2, 258),), reason="returned", at=NOW)
ON_THE_WAY = (*READY_TO_GO, DISPATCHED)


def test_an_admitted_order_asks_for_its_goods() -> None:
    given(PLACED).when(RecordAdmission("o1", "granted", "", NOW)).then(ADMITTED)


def test_a_line_of_quantity_0_needs_no_goods() -> None:
    fee = OrderLine(sku="fee", department="OTHER", quantity=0, amount=99)
    past = placed(fee, OrderLine(sku="bananas", department="PRODUCE", quantity=2, amount=258))
    given(past).when(RecordAdmission("o1", "granted", "", NOW)).then(ADMITTED)


def test_a_refused_customers_order_is_cancelled() -> None:
    end = cancelled("customer-refused", "the customer is suspended")
    given(PLACED).when(RecordAdmission("o1", "refused", "suspended", NOW)).then(end)


def test_a_reserved_order_asks_for_its_money() -> None:
    given(*WAITING_FOR_THE_GOODS).when(RecordReservation("o1", "reserved", (), NOW)).then(RESERVED)


def test_an_order_whose_goods_are_short_is_cancelled() -> None:
    end = cancelled("out-of-stock", "not enough of bananas, bread")
    short = RecordReservation("o1", "refused", ("bananas", "bread"), NOW)
    given(*WAITING_FOR_THE_GOODS).when(short).then(end)


def test_an_authorised_order_is_confirmed() -> None:
    given(*WAITING_FOR_THE_MONEY).when(RecordPayment("o1", "authorised", NOW)).then(CONFIRMED)


def test_a_declined_order_is_cancelled_and_gives_its_goods_back() -> None:
    end = cancelled("payment-declined", "no funds")
    declined = RecordPayment("o1", "declined", NOW, reason="no funds")
    given(*WAITING_FOR_THE_MONEY).when(declined).then(end, GOODS_BACK)


def test_goods_missing_at_a_count_cancel_an_order_that_is_not_paid() -> None:
    end = cancelled("stock-missing", "a count found too little of bananas")
    given(*WAITING_FOR_THE_MONEY).when(RecordReservation("o1", "broken", ("bananas",), NOW)).then(end)


def test_goods_missing_at_a_count_ask_delivery_whether_it_has_left() -> None:
    requested = CancellationRequested(cause="stock-missing", reason="a count found too little of bananas", at=NOW)
    given(*READY_TO_GO).when(RecordReservation("o1", "broken", ("bananas",), NOW)).then(requested)


def test_goods_missing_after_it_left_change_nothing() -> None:
    given(*ON_THE_WAY).when(RecordReservation("o1", "broken", ("bananas",), NOW)).then()


def test_it_is_dispatched_paid_and_delivered() -> None:
    given(*READY_TO_GO).when(RecordDispatch("o1", NOW)).then(DISPATCHED)
    given(*ON_THE_WAY).when(RecordPayment("o1", "captured", NOW, amount=258)).then(PAID)
    given(*ON_THE_WAY, PAID).when(RecordDelivery("o1", "delivered", NOW)).then(DELIVERED)
    given(*ON_THE_WAY, DELIVERED).when(RecordPayment("o1", "captured", NOW, amount=258)).then(PAID)


def test_a_paid_order_that_comes_back_is_refunded() -> None:
    given(*ON_THE_WAY, PAID).when(RecordReturn("o1", "address unknown", NOW)).then(RETURNED, OWED)


def test_an_order_that_comes_back_before_its_money_came_is_refunded_then() -> None:
    given(*ON_THE_WAY).when(RecordReturn("o1", "address unknown", NOW)).then(RETURNED)
    given(*ON_THE_WAY, RETURNED).when(RecordPayment("o1", "captured", NOW, amount=258)).then(PAID, OWED)


def test_an_order_for_nothing_that_comes_back_owes_nothing() -> None:
    gift = placed(OrderLine(sku="bananas", department="PRODUCE", quantity=2, amount=0))
    free = OrderPaid(amount=0, currency="USD", at=NOW)
    past = (gift, ADMITTED, RESERVED, CONFIRMED, DISPATCHED, free)
    given(*past).when(RecordReturn("o1", "address unknown", NOW)).then(RETURNED)


def test_a_refund_says_from_which_department() -> None:
    refund = RecordPayment("o1", "refunded", NOW, refund=1, amount=129, lines=(PaidBack("bananas", 1, 129),))
    line = RefundedLine("bananas", "PRODUCE", 1, 129)
    refunded = OrderRefunded(
        refund=1, site="springfield", currency="USD", amount=129, lines=(line,), at=NOW, channel="web"
    )
    given(*ON_THE_WAY, PAID, DELIVERED).when(refund).then(refunded)
    given(*ON_THE_WAY, PAID, DELIVERED, refunded).when(refund).then()


def test_what_the_provider_does_not_do_is_noted_once() -> None:
    failed = PaymentFailed(step="capture", refund=0, reason="expired", at=NOW)
    command = RecordPayment("o1", "failed", NOW, "capture", "expired")
    given(*ON_THE_WAY).when(command).then(failed)
    given(*ON_THE_WAY, failed).when(command).then()


def test_money_that_did_not_come_at_first_may_come_later() -> None:
    failed = PaymentFailed(step="capture", refund=0, reason="expired", at=NOW)
    came = RecordPayment("o1", "captured", NOW, amount=258)
    given(*ON_THE_WAY, failed).when(came).then(PAID)
    given(*ON_THE_WAY, RETURNED, failed).when(came).then(PAID, OWED)


def test_an_order_that_is_not_paid_in_time_is_cancelled() -> None:
    end = cancelled("not-paid-in-time", "it was not paid in time")
    given(PLACED).when(ExpireOrder("o1", "payment")).then(end)
    given(*WAITING_FOR_THE_MONEY).when(ExpireOrder("o1", "payment")).then(end, GOODS_BACK)


def test_an_order_that_is_not_sent_in_time_asks_delivery() -> None:
    requested = CancellationRequested(cause="not-delivered-in-time", reason="it was not delivered in time", at=NOW)
    given(*READY_TO_GO).when(ExpireOrder("o1", "delivery")).then(requested)


def test_an_order_that_is_not_delivered_in_time_is_called_back_once() -> None:
    recalled = DeliveryRecalled(reason="it was not delivered in time", at=NOW)
    given(*ON_THE_WAY).when(ExpireOrder("o1", "delivery")).then(recalled)
    given(*ON_THE_WAY, recalled).when(ExpireOrder("o1", "delivery")).then()


@pytest.mark.parametrize("past", [(*READY_TO_GO,), (*ON_THE_WAY,), (*ON_THE_WAY, DELIVERED)])
def test_a_payment_deadline_that_fires_late_changes_nothing(past: tuple[Event, ...]) -> None:
    given(*past).when(ExpireOrder("o1", "payment")).then()


@pytest.mark.parametrize("past", [(PLACED,), (*ON_THE_WAY, DELIVERED), (*ON_THE_WAY, RETURNED)])
def test_a_delivery_deadline_that_fires_late_changes_nothing(past: tuple[Event, ...]) -> None:
    given(*past).when(ExpireOrder("o1", "delivery")).then()


@pytest.mark.parametrize(
    ("past", "command"),
    [
        (WAITING_FOR_THE_GOODS, RecordAdmission("o1", "granted", "", NOW)),
        (WAITING_FOR_THE_MONEY, RecordReservation("o1", "reserved", (), NOW)),
        (READY_TO_GO, RecordPayment("o1", "authorised", NOW)),
        (ON_THE_WAY, RecordDispatch("o1", NOW)),
        ((*ON_THE_WAY, PAID), RecordPayment("o1", "captured", NOW, amount=258)),
        ((*ON_THE_WAY, DELIVERED), RecordDelivery("o1", "delivered", NOW)),
        ((*ON_THE_WAY, RETURNED), RecordReturn("o1", "address unknown", NOW)),
    ],
)
def test_what_the_order_knows_already_changes_nothing(past: tuple[Event, ...], command: Command) -> None:
    given(*past).when(command).then()


def test_it_must_be_paid_and_delivered_in_time() -> None:
    assert deadlines(PLACED) == (Deadline("payment", PAY_WITHIN),)
    assert deadlines(CONFIRMED) == (Deadline("payment", None), Deadline("delivery", DELIVER_WITHIN))
    assert deadlines(DELIVERED) == (Deadline("delivery", None),)


def test_an_order_that_was_to_be_stopped_and_had_left_must_be_delivered_in_time_again() -> None:
    assert deadlines(CancellationCameTooLate(at=NOW)) == (Deadline("delivery", DELIVER_WITHIN),)
