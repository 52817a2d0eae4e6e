"""How a delivery that has left ends."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from common.messages import Command, Event
from contexts.delivery.events import DeliveryReturned
from tests.delivery import (
    CANCELLED,
    CONFIRM,
    CONFIRMED,
    DISPATCH,
    DISPATCHED,
    LAST_YEAR,
    NOBODY_HOME,
    SCHEDULED,
    SEND_BACK,
    SENT_BACK,
    attempt_failed,
)
from tests.scenario import NOW, given, known

LEFT = SCHEDULED, DISPATCHED
TWICE_IN_VAIN = *LEFT, attempt_failed(1), attempt_failed(2)


def test_a_delivery_that_has_left_is_confirmed_once() -> None:
    given(*LEFT).when(CONFIRM).then(CONFIRMED)
    given(*LEFT, CONFIRMED).when(CONFIRM).then()


def test_it_can_arrive_after_failed_attempts() -> None:
    given(*TWICE_IN_VAIN).when(CONFIRM).then(CONFIRMED)


def test_failed_attempts_are_counted() -> None:
    given(*LEFT).when(NOBODY_HOME).then(attempt_failed(1))
    given(*LEFT, attempt_failed(1)).when(NOBODY_HOME).then(attempt_failed(2))


def test_the_third_failed_attempt_sends_it_back() -> None:
    returned = DeliveryReturned(reason="nobody at home", at=NOW)
    given(*TWICE_IN_VAIN).when(NOBODY_HOME).then(attempt_failed(3), returned)


def test_it_can_be_sent_back_before_the_third_attempt_and_once() -> None:
    given(*LEFT).when(SEND_BACK).then(SENT_BACK)
    given(*LEFT, attempt_failed(1)).when(SEND_BACK).then(SENT_BACK)
    given(*LEFT, SENT_BACK).when(SEND_BACK).then()


REPORTS = pytest.mark.parametrize("report", [CONFIRM, NOBODY_HOME, SEND_BACK], ids=lambda report: type(report).__name__)


@REPORTS
@pytest.mark.parametrize(
    ("past", "code"),
    [
        ([], "delivery.unknown"),
        ([SCHEDULED], "delivery.not-dispatched"),
        ([SCHEDULED, CANCELLED], "delivery.cancelled"),
        ([CANCELLED], "delivery.cancelled"),
    ],
)
def test_nothing_is_reported_of_what_has_not_left(report: Command, past: list[Event], code: str) -> None:
    given(*past).when(report).then_rejected(code)


def test_what_has_arrived_neither_fails_nor_comes_back() -> None:
    given(*LEFT, CONFIRMED).when(NOBODY_HOME).then_rejected("delivery.already-delivered")
    given(*LEFT, CONFIRMED).when(SEND_BACK).then_rejected("delivery.already-delivered")


def test_what_has_come_back_neither_fails_nor_arrives() -> None:
    given(*LEFT, SENT_BACK).when(NOBODY_HOME).then_rejected("delivery.already-returned")
    given(*LEFT, SENT_BACK).when(CONFIRM).then_rejected("delivery.already-returned")


@pytest.mark.parametrize("role", ["trusted-channel", "reaction"])
def test_a_trusted_channel_and_a_reaction_state_when_it_was_and_it_is_kept_in_utc(role: str) -> None:
    in_vienna = LAST_YEAR.astimezone(timezone(timedelta(hours=1)))
    told = known(role)
    given(SCHEDULED).when(replace(DISPATCH, at=in_vienna), told).then(replace(DISPATCHED, at=LAST_YEAR))
    given(*LEFT).when(replace(CONFIRM, at=in_vienna), told).then(replace(CONFIRMED, at=LAST_YEAR))
    given(*LEFT).when(replace(SEND_BACK, at=in_vienna), told).then(replace(SENT_BACK, at=LAST_YEAR))
    given(*LEFT).when(replace(NOBODY_HOME, at=in_vienna), told).then(replace(attempt_failed(1), at=LAST_YEAR))


@pytest.mark.parametrize("report", [DISPATCH, CONFIRM, NOBODY_HOME, SEND_BACK], ids=lambda each: type(each).__name__)
@pytest.mark.parametrize("past", [[], [SCHEDULED], [*LEFT], [*LEFT, CONFIRMED]])
def test_warehouse_and_courier_may_not_state_when_it_was(report: Command, past: list[Event]) -> None:
    told = known("warehouse", "courier")
    given(*past).when(replace(report, at=LAST_YEAR), told).then_rejected("delivery.not-yours-to-state", field="at")


@pytest.mark.parametrize(
    "at",
    [
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        NOW + timedelta(days=1, microseconds=1),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    ],
)
def test_a_time_of_another_world_is_refused(at: datetime) -> None:
    told = known("trusted-channel")
    given(*LEFT).when(replace(CONFIRM, at=at), told).then_rejected("delivery.time-out-of-range")


def test_a_parcel_that_an_event_calls_back_is_of_that_events_time_whatever_the_clock_says() -> None:
    ahead = NOW + timedelta(days=1, seconds=1)
    given(*LEFT).when(replace(SEND_BACK, at=ahead), known("reaction")).then(replace(SENT_BACK, at=ahead))
