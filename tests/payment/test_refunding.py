"""Money that was taken is paid back, never more than was taken."""

from datetime import timedelta

import pytest

from contexts.payment.commands import RefundLine
from contexts.payment.events import RefundFailed
from tests.payment import (
    CAPTURING,
    ENDED,
    IS_AUTHORISED,
    IS_CAPTURED,
    JAM,
    NOTHING_CAPTURED,
    NOTHING_TO_PAY,
    ONE_TEA,
    TEA,
    not_paid_back,
    paid_back,
    refund,
    refunded,
    refunding,
)
from tests.scenario import NOW, given, known

OPERATOR, REACTION, TILL = known("operator"), known("reaction"), known("operator", "trusted-channel")
FAILED = RefundFailed(refund=1, amount=500, reason="account closed", at=ENDED)


def test_lines_are_paid_back_by_the_provider() -> None:
    given(*IS_CAPTURED).when(refund(ONE_TEA), REACTION).then(refunding(1, ONE_TEA))


def test_what_the_provider_paid_back_is_refunded_line_by_line() -> None:
    given(*IS_CAPTURED, refunding(1, ONE_TEA)).when(paid_back(1)).then(refunded(1, ONE_TEA))


def test_refunds_are_counted_and_settled_each_by_itself() -> None:
    both = (*IS_CAPTURED, refunding(1, ONE_TEA), refunding(2, JAM))
    given(*IS_CAPTURED, refunding(1, ONE_TEA)).when(refund(JAM), REACTION).then(refunding(2, JAM))
    given(*both).when(paid_back(2)).then(refunded(2, JAM))
    given(*both, refunded(2, JAM)).when(paid_back(1)).then(refunded(1, ONE_TEA))


def test_never_more_is_paid_back_than_was_captured() -> None:
    given(*IS_CAPTURED).when(refund(TEA, RefundLine("jam", 1, 201)), REACTION).then_rejected(
        "payment.refund-exceeds", left=500
    )
    given(*IS_CAPTURED).when(refund(TEA, JAM), REACTION).then(refunding(1, TEA, JAM))


def test_what_is_being_paid_back_cannot_be_paid_back_a_second_time() -> None:
    given(*IS_CAPTURED, refunding(1, TEA)).when(refund(TEA), REACTION).then_rejected("payment.refund-exceeds", left=200)
    given(*IS_CAPTURED, refunding(1, TEA), refunded(1, TEA)).when(refund(TEA), REACTION).then_rejected(
        "payment.refund-exceeds", left=200
    )


def test_a_refund_that_failed_frees_its_money() -> None:
    given(*IS_CAPTURED, refunding(1, TEA, JAM)).when(not_paid_back(1)).then(FAILED)
    given(*IS_CAPTURED, refunding(1, TEA, JAM), FAILED).when(refund(TEA, JAM), REACTION).then(refunding(2, TEA, JAM))


def test_the_rest_is_what_was_not_paid_back_before() -> None:
    rest = refund(TEA, JAM, rest=True)
    given(*IS_CAPTURED).when(rest, REACTION).then(refunding(1, TEA, JAM))
    given(*IS_CAPTURED, refunding(1, ONE_TEA)).when(rest, REACTION).then(refunding(2, ONE_TEA, JAM))
    given(*IS_CAPTURED, refunding(1, JAM), refunded(1, JAM)).when(rest, REACTION).then(refunding(2, TEA))
    given(*IS_CAPTURED, refunding(1, TEA, JAM), FAILED).when(rest, REACTION).then(refunding(2, TEA, JAM))


def test_the_rest_is_clipped_to_the_money_that_is_left() -> None:
    goodwill = RefundLine("goodwill", 0, 250)
    given(*IS_CAPTURED, refunding(1, goodwill)).when(refund(TEA, JAM, rest=True), REACTION).then(
        refunding(2, RefundLine("tea", 2, 250), RefundLine("jam", 1, 0))
    )


def test_nothing_left_to_pay_back_changes_nothing() -> None:
    rest = refund(TEA, JAM, rest=True)
    given(*IS_CAPTURED, refunding(1, TEA, JAM)).when(rest, REACTION).then()
    given(*IS_CAPTURED, refunding(1, RefundLine("goodwill", 0, 500))).when(rest, REACTION).then()
    given(NOTHING_TO_PAY, NOTHING_CAPTURED).when(rest, REACTION).then()
    given(*IS_CAPTURED).when(refund(RefundLine("tea", 1, 0)), REACTION).then()


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    given(*IS_CAPTURED, refunding(1, TEA), refunded(1, TEA)).when(paid_back(1)).then()
    given(*IS_CAPTURED, refunding(1, TEA, JAM), FAILED).when(not_paid_back(1)).then()


def test_an_answer_that_contradicts_the_first_is_refused() -> None:
    given(*IS_CAPTURED, refunding(1, TEA), refunded(1, TEA)).when(not_paid_back(1)).then_rejected(
        "payment.contradiction"
    )
    given(*IS_CAPTURED, refunding(1, TEA, JAM), FAILED).when(paid_back(1)).then_rejected("payment.contradiction")


@pytest.mark.parametrize("number", [-1, 0, 2])
def test_an_answer_to_what_nobody_asked_is_refused(number: int) -> None:
    given(*IS_CAPTURED, refunding(1, TEA)).when(paid_back(number)).then_rejected("payment.not-asked")


def test_what_was_not_taken_is_not_paid_back() -> None:
    for past in ((), IS_AUTHORISED, (*IS_AUTHORISED, CAPTURING)):
        given(*past).when(refund(TEA), REACTION).then_rejected("payment.not-captured")


def test_a_sku_on_two_lines_is_refused() -> None:
    given(*IS_CAPTURED).when(refund(ONE_TEA, ONE_TEA), REACTION).then_rejected("payment.sku-twice", sku="tea")


def test_a_refund_takes_place_when_it_is_accepted() -> None:
    given(*IS_CAPTURED).when(refund(TEA, at=None), OPERATOR).then(refunding(1, TEA, at=NOW))


def test_only_a_trusted_channel_states_when_a_refund_took_place() -> None:
    given(*IS_CAPTURED).when(refund(TEA), OPERATOR).then_rejected("payment.not-yours-to-state", field="at")
    given(*IS_CAPTURED).when(refund(TEA), TILL).then(refunding(1, TEA))


def test_a_refund_took_place_in_this_century_and_not_far_ahead() -> None:
    for at in (ENDED.replace(year=1999), NOW + timedelta(days=2)):
        given(*IS_CAPTURED).when(refund(TEA, at=at), TILL).then_rejected("payment.time-out-of-range")


def test_a_refund_that_an_event_asks_for_is_of_that_events_time_whatever_the_clock_says() -> None:
    ahead = NOW + timedelta(days=1, seconds=1)
    given(*IS_CAPTURED).when(refund(TEA, at=ahead), REACTION).then(refunding(1, TEA, at=ahead))
