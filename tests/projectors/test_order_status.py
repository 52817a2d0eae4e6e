"""Where an order stands, as it is folded into a bucket."""

from datetime import timedelta

from hypothesis import given
from hypothesis import strategies as st

from common.messages import Event
from common.personal import Personal
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
    OrderPlaced,
    OrderRefunded,
    OrderReserved,
    OrderReturned,
)
from projectors import orders
from projectors.order_status import MODEL, OrderStatus, apply
from tests.projectors.conftest import NOON

HOUR = timedelta(hours=1)
PLACED = OrderPlaced(
    customer_id="ada",
    site="s1",
    deliver_to=Personal("ada", sealed="c2VhbGVk"),
    payment_method="pm_ok",
    currency="USD",
    channel="web",
    at=NOON,
    lines=(),
)
ADMITTED = OrderAdmitted(site="s1", lines=(), at=NOON)
RESERVED = OrderReserved(total=900, currency="USD", payment_method="pm_ok", at=NOON)
CONFIRMED = OrderConfirmed(site="s1", deliver_to=PLACED.deliver_to, lines=(), at=NOON)
DISPATCHED = OrderDispatched(site="s1", at=NOON + HOUR)
PAID = OrderPaid(amount=900, currency="USD", at=NOON + HOUR)
DELIVERED = OrderDelivered(customer_id="ada", total=900, currency="USD", at=NOON + 2 * HOUR)
REQUESTED = CancellationRequested(cause="asked", reason="too many", at=NOON + HOUR)
CANCELLED = OrderCancelled(reason="too many", at=NOON + HOUR)
TOO_LATE = CancellationCameTooLate(at=NOON + HOUR)
RETURNED = OrderReturned(site="s1", lines=(), reason="nobody at home", at=NOON + HOUR)
RECALLED = DeliveryRecalled(reason="late", at=NOON)


def refunded(amount: int) -> OrderRefunded:
    return OrderRefunded(refund=1, site="s1", currency="USD", amount=amount, lines=(), at=NOON)


def after(*events: Event) -> OrderStatus:
    status: OrderStatus | None = None
    for event in events:
        status = apply(status, "o1", event)
    assert status
    return status


def test_it_says_where_an_order_stands_and_since_when() -> None:
    assert after(PLACED) == OrderStatus(order_id="o1", state="placed", at=NOON, customer_id="ada", currency="USD")
    status = after(PLACED, ADMITTED, RESERVED, CONFIRMED, DISPATCHED, PAID)
    assert (status.state, status.at, status.paid) == ("dispatched", NOON + HOUR, 900)
    assert (after(PLACED, DISPATCHED, PAID, DELIVERED).state, after(PLACED, RETURNED).reason) == (
        "delivered",
        "nobody at home",
    )


def test_it_says_why_an_order_is_cancelled_or_is_to_be() -> None:
    for events, state in (
        ([REQUESTED], "cancelling"),
        ([REQUESTED, CANCELLED], "cancelled"),
        ([CANCELLED], "cancelled"),
    ):
        status = after(PLACED, *events)
        assert (status.state, status.cause, status.reason, status.at) == (state, "asked", "too many", NOON + HOUR)
    late = after(PLACED, REQUESTED, TOO_LATE, DISPATCHED)
    assert (late.state, late.cause, late.reason) == ("dispatched", "", "")


def test_what_was_paid_back_adds_up() -> None:
    assert after(PLACED, DISPATCHED, PAID, refunded(300), refunded(200)).refunded == 500


def test_of_what_was_never_placed_there_is_nothing() -> None:
    assert apply(None, "o1", CONFIRMED) is None


def test_bucket_and_table_follow_the_same_events() -> None:
    assert set(MODEL.follows["order"]) == set(orders.MODEL.follows["order"])


EVENTS = [
    ADMITTED,
    RESERVED,
    CONFIRMED,
    DISPATCHED,
    PAID,
    DELIVERED,
    REQUESTED,
    CANCELLED,
    TOO_LATE,
    RETURNED,
    RECALLED,
]


@given(st.lists(st.sampled_from([*EVENTS, refunded(1)])))
def test_bucket_and_table_never_differ_in_where_an_order_stands(events: list[Event]) -> None:
    row = None
    for event in (PLACED, *events):
        row = orders.apply(row, "o1", event)
    status = after(PLACED, *events)
    assert row
    assert (status.state, status.paid, status.refunded) == (row.state, row.paid, row.refunded)
