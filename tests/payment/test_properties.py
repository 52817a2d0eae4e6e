"""What holds for every payment, whatever is asked, in whatever order and however often."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import hypothesis.strategies as st
from hypothesis import event, given

from common.messages import Command, Event, Rejected
from contexts.payment.commands import (
    CapturePayment,
    RecordAuthorisation,
    RecordCapture,
    RecordRefund,
    RecordVoid,
    RefundLine,
    RefundPayment,
    RequestPayment,
    VoidPayment,
)
from contexts.payment.events import (
    PaymentAuthorised,
    PaymentCaptured,
    PaymentRefunded,
    PaymentVoided,
    RefundFailed,
    RefundRequested,
    VoidRequested,
)
from contexts.payment.provider import Provider, SimulatedProvider, asking
from contexts.payment.wiring import CONTEXT
from tests.payment import SOLD
from tests.scenario import known

EFFECT = CONTEXT.effect
METHODS = st.sampled_from(["pm_ok", "pm_twice", "pm_declined", "pm_capture_fails", "pm_of_nobody"])
AMOUNTS = st.integers(0, 300)
ID = st.just("o1")
AT = st.just(SOLD)
LINES = st.lists(
    st.builds(RefundLine, st.sampled_from(["tea", "jam", "rum"]), st.integers(0, 3), AMOUNTS),
    min_size=1,
    max_size=3,
    unique_by=lambda line: line.sku,
).map(tuple)
WISHES = st.one_of(
    st.builds(RequestPayment, ID, AMOUNTS, st.just("USD"), METHODS, AT),
    st.builds(CapturePayment, ID, AT),
    st.builds(VoidPayment, ID, AT),
    st.builds(RefundPayment, ID, LINES, st.just("spoiled"), st.booleans(), AT),
)
ANSWERS = st.one_of(
    st.builds(RecordAuthorisation, ID, st.sampled_from(["authorised", "declined"]), st.just("a")),
    st.builds(RecordCapture, ID, st.sampled_from(["captured", "failed"]), st.just("c"), attempt=st.integers(0, 3)),
    st.builds(RecordVoid, ID, st.sampled_from(["voided", "failed"]), st.just("v")),
    st.builds(RecordRefund, ID, st.integers(0, 4), st.sampled_from(["refunded", "failed"]), st.just("r")),
)


SOLD_FOR_MONEY = st.builds(RequestPayment, ID, st.integers(100, 300), st.just("USD"), st.just("pm_ok"), AT)
PAID = st.builds(
    lambda request: [
        request,
        RecordAuthorisation("o1", "authorised", "a"),
        CapturePayment("o1", SOLD),
        RecordCapture("o1", "captured", "c"),
    ],
    SOLD_FOR_MONEY,
)
PASTS = st.one_of(st.just([]), st.lists(SOLD_FOR_MONEY, min_size=1, max_size=1), PAID)
"""What random wishes come to by themselves too seldom: a payment that is asked for, or one with money to pay back."""


class Till:
    """One payment, and all that happened to it."""

    def __init__(self) -> None:
        self.payment, self.events = CONTEXT.initial, list[Event]()

    def take(self, command: Command) -> Sequence[Event]:
        """What happens because of a command; nothing when a rule says no."""
        try:
            events = CONTEXT.decide(command, self.payment, known("reaction"))
        except Rejected as rejected:
            event(rejected.code)
            return []
        for each in events:
            self.payment = CONTEXT.evolve(self.payment, each)
            self.events.append(each)
            event(type(each).__name__)
            self.check()
        return events

    def sum(self, kind: Any) -> int:
        return sum(each.amount for each in self.events if isinstance(each, kind))

    def check(self) -> None:
        authorised, captured, refunded = map(self.sum, (PaymentAuthorised, PaymentCaptured, PaymentRefunded))
        assert captured <= authorised
        assert self.sum(PaymentVoided) <= authorised
        assert not (captured and self.sum(PaymentVoided)), "money that was let go has been taken"
        assert refunded <= self.sum(RefundRequested) - self.sum(RefundFailed) <= captured
        assert all(n <= 1 for n in map(self.count, (PaymentAuthorised, PaymentCaptured, PaymentVoided)))

    def count(self, kind: Any) -> int:
        return sum(isinstance(each, kind) for each in self.events)


@given(PASTS, st.lists(st.one_of(WISHES, ANSWERS), max_size=30))
def test_no_more_is_taken_than_was_authorised_nor_paid_back_than_was_taken(
    past: list[Command], commands: list[Command]
) -> None:
    till = Till()
    for command in (*past, *commands):
        till.take(command)


@given(st.data())
def test_the_providers_ledger_and_the_record_tell_the_same_however_answers_come(data: st.DataObject) -> None:
    provider, till = SimulatedProvider(), Till()
    draw: Any = data.draw
    coming: list[Command] = []
    come: list[Command] = []
    for wish in [*draw(st.lists(SOLD_FOR_MONEY, max_size=1)), *draw(st.lists(WISHES, max_size=12))]:
        coming += answered(provider, till.take(wish), till)
        while coming and draw(st.booleans()):
            come.append(coming.pop(draw(st.integers(0, len(coming) - 1))))
            coming += answered(provider, till.take(come[-1]), till)
        if come and draw(st.booleans()):
            till.take(draw(st.sampled_from(come)))
    while coming:
        coming += answered(provider, till.take(coming.pop()), till)
    assert provider.moved("authorise") == till.sum(PaymentAuthorised)
    assert provider.moved("capture") == till.sum(PaymentCaptured)
    assert provider.moved("void") == till.sum(PaymentVoided)
    assert provider.moved("refund") == till.sum(PaymentRefunded)
    if till.count(VoidRequested):
        assert till.sum(PaymentVoided) == till.sum(PaymentAuthorised), "a wish to let go was lost"


def answered(provider: Provider, events: Iterable[Event], till: Till) -> list[Command]:
    """What a provider says at once to what these events ask of it; each event is asked for twice."""
    assert EFFECT
    ask = asking(provider)
    wanted = [each for each in events if isinstance(each, EFFECT.events)]
    return [command for each in wanted for _ in range(2) for command in said(ask, str(till.events.index(each)), each)]


def said(ask: Any, key: str, requested: Event) -> Iterator[Command]:
    """The answers of one call, which must not wait for anything."""

    async def all_of_them() -> list[Command]:
        return [answer async for answer in ask(key, "o1", requested)]

    try:
        all_of_them().send(None)
    except StopIteration as end:
        yield from end.value
