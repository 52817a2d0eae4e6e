"""Whether a customer may have an order. The order waits for the answer, so there is always one, and it is an event."""

from datetime import UTC, datetime

import pytest

from common.messages import Event
from contexts.customer.commands import AdmitOrder
from contexts.customer.decider import Customer
from contexts.customer.events import AdmissionGranted, AdmissionRefused
from contexts.customer.wiring import CONTEXT
from tests.customer import CLOSED, MARRIED, REGISTERED, REINSTATED, SUSPENDED
from tests.scenario import folded, given

SOLD = datetime(2025, 11, 27, 18, 30, tzinfo=UTC)
ADMIT = AdmitOrder("ada", "o1", SOLD)
GRANTED = AdmissionGranted(order_id="o1", at=SOLD)


@pytest.mark.parametrize("past", [[REGISTERED], [REGISTERED, MARRIED], [REGISTERED, SUSPENDED, REINSTATED]])
def test_a_registered_customer_may_order(past: list[Event]) -> None:
    given(*past).when(ADMIT).then(GRANTED)


@pytest.mark.parametrize(
    ("past", "reason"),
    [
        ([], "unknown"),
        ([REGISTERED, SUSPENDED], "suspended"),
        ([REGISTERED, CLOSED], "closed"),
        ([REGISTERED, SUSPENDED, CLOSED], "closed"),
    ],
)
def test_others_may_not_and_are_told_why(past: list[Event], reason: str) -> None:
    given(*past).when(ADMIT).then(AdmissionRefused(order_id="o1", reason=reason, at=SOLD))


def test_an_order_after_the_suspension_is_refused_however_close_behind() -> None:
    given(REGISTERED, GRANTED, SUSPENDED).when(AdmitOrder("ada", "o2", SOLD)).then(
        AdmissionRefused(order_id="o2", reason="suspended", at=SOLD)
    )


def test_however_many_orders_are_admitted_the_state_stays_as_it_was() -> None:
    refused = AdmissionRefused(order_id="o2", reason="unknown", at=SOLD)
    assert folded(CONTEXT, [refused] * 100) == Customer()
    assert folded(CONTEXT, [REGISTERED, *[GRANTED] * 100]) == folded(CONTEXT, [REGISTERED])
