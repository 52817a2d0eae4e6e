"""What holds for every delivery, whatever is asked of it, in whatever order and however often."""

import hypothesis.strategies as st
from hypothesis import event, given

from common.messages import Event, Rejected
from contexts.delivery.decider import MOST_ATTEMPTS, Delivery, DeliveryCommand, decide, evolve
from contexts.delivery.events import (
    DeliveryAttemptFailed,
    DeliveryCancelled,
    DeliveryConfirmed,
    DeliveryDispatched,
    DeliveryReturned,
    DeliveryScheduled,
)
from tests.delivery import CANCEL, CONFIRM, DISPATCH, NOBODY_HOME, SCHEDULE, SEND_BACK
from tests.scenario import known

WISHES = st.lists(st.sampled_from([SCHEDULE, CANCEL, DISPATCH, CONFIRM, NOBODY_HOME, SEND_BACK]), max_size=12)
ENDINGS = {DeliveryCancelled, DeliveryConfirmed, DeliveryReturned}


def asked(delivery: Delivery, command: DeliveryCommand) -> tuple[Delivery, list[Event]]:
    """The delivery afterwards, and what happened."""
    try:
        events: list[Event] = [*decide(command, delivery, known())]
    except Rejected:
        return delivery, []
    for happened in events:
        delivery = evolve(delivery, happened)
    return delivery, events


def life(wishes: list[DeliveryCommand]) -> tuple[Delivery, list[type[Event]]]:
    """What came of all these wishes."""
    delivery, happened = Delivery(), list[type[Event]]()
    for wish in wishes:
        delivery, events = asked(delivery, wish)
        happened += map(type, events)
    return delivery, happened


@given(WISHES)
def test_a_delivery_leaves_once_or_is_cancelled_and_never_both(wishes: list[DeliveryCommand]) -> None:
    _, happened = life(wishes)
    assert happened.count(DeliveryScheduled) <= 1
    assert happened.count(DeliveryDispatched) + happened.count(DeliveryCancelled) <= 1
    if DeliveryDispatched in happened:
        assert happened.index(DeliveryScheduled) < happened.index(DeliveryDispatched)


@given(WISHES)
def test_a_delivery_ends_once_and_nothing_happens_after_its_end(wishes: list[DeliveryCommand]) -> None:
    _, happened = life(wishes)
    ends = [kind for kind in happened if kind in ENDINGS]
    assert len(ends) <= 1
    if ends:
        event(ends[0].__name__)
        assert happened[-1] is ends[0]


@given(WISHES)
def test_what_arrives_or_comes_back_has_left_before(wishes: list[DeliveryCommand]) -> None:
    _, happened = life(wishes)
    for kind in (DeliveryConfirmed, DeliveryReturned, DeliveryAttemptFailed):
        if kind in happened:
            assert happened.index(DeliveryDispatched) < happened.index(kind)


@given(WISHES)
def test_no_more_attempts_are_made_than_allowed_and_the_last_one_ends_it(wishes: list[DeliveryCommand]) -> None:
    delivery, happened = life(wishes)
    attempts = happened.count(DeliveryAttemptFailed)
    assert delivery.attempts == attempts <= MOST_ATTEMPTS
    if attempts == MOST_ATTEMPTS:
        assert happened[-2:] == [DeliveryAttemptFailed, DeliveryReturned]


@given(WISHES, st.sampled_from([SCHEDULE, CANCEL, DISPATCH, CONFIRM, SEND_BACK]))
def test_asking_again_changes_nothing(wishes: list[DeliveryCommand], wish: DeliveryCommand) -> None:
    delivery, _ = asked(life(wishes)[0], wish)
    assert asked(delivery, wish) == (delivery, [])
