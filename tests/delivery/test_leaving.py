"""When a delivery leaves, and when it can still be stopped."""

from msgspec.structs import replace

from tests.delivery import (
    CANCEL,
    CANCELLED,
    CONFIRMED,
    DISPATCH,
    DISPATCHED,
    SCHEDULE,
    SCHEDULED,
    SENT_BACK,
    attempt_failed,
)
from tests.scenario import given


def test_a_delivery_is_scheduled_as_the_order_asks_with_the_address_sealed() -> None:
    given().when(SCHEDULE).then(SCHEDULED)


def test_an_order_of_nothing_that_weighs_anything_is_delivered_too() -> None:
    given().when(replace(SCHEDULE, lines=())).then(replace(SCHEDULED, lines=()))


def test_scheduling_again_changes_nothing_however_far_it_has_come() -> None:
    for past in ([SCHEDULED], [SCHEDULED, DISPATCHED], [SCHEDULED, DISPATCHED, CONFIRMED], [SCHEDULED, CANCELLED]):
        given(*past).when(SCHEDULE).then()


def test_a_scheduled_delivery_can_be_cancelled_and_again_changes_nothing() -> None:
    given(SCHEDULED).when(CANCEL).then(CANCELLED)
    given(SCHEDULED, CANCELLED).when(CANCEL).then()


def test_a_delivery_that_is_cancelled_before_it_is_scheduled_stays_cancelled() -> None:
    given().when(CANCEL).then(CANCELLED)
    given(CANCELLED).when(SCHEDULE).then()
    given(CANCELLED).when(DISPATCH).then_rejected("delivery.cancelled")
    given(CANCELLED).when(CANCEL).then()


def test_what_has_left_cannot_be_cancelled() -> None:
    left = SCHEDULED, DISPATCHED
    given(*left).when(CANCEL).then_rejected("delivery.has-left", state="dispatched")
    given(*left, attempt_failed(1)).when(CANCEL).then_rejected("delivery.has-left", state="dispatched")
    given(*left, CONFIRMED).when(CANCEL).then_rejected("delivery.has-left", state="delivered")
    given(*left, SENT_BACK).when(CANCEL).then_rejected("delivery.has-left", state="returned")


def test_what_is_scheduled_is_dispatched_once() -> None:
    given(SCHEDULED).when(DISPATCH).then(DISPATCHED)
    for past in ([SCHEDULED, DISPATCHED], [SCHEDULED, DISPATCHED, CONFIRMED], [SCHEDULED, DISPATCHED, SENT_BACK]):
        given(*past).when(DISPATCH).then()


def test_what_nobody_asked_for_is_not_dispatched() -> None:
    given().when(DISPATCH).then_rejected("delivery.unknown")


def test_what_is_cancelled_is_not_dispatched() -> None:
    given(SCHEDULED, CANCELLED).when(DISPATCH).then_rejected("delivery.cancelled")
