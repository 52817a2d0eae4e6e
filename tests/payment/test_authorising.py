"""Money is sure before anything is sent."""

from contexts.payment.events import PaymentDeclined, PaymentVoided
from tests.payment import (
    AUTHORISED,
    DECLINED,
    ENDED,
    FREE,
    IS_AUTHORISED,
    IS_CAPTURED,
    NOTHING_TO_PAY,
    REQUEST,
    REQUESTED,
    SAID_NO,
    SAID_YES,
    SOLD,
)
from tests.scenario import given


def test_money_is_asked_of_the_provider() -> None:
    given().when(REQUEST).then(REQUESTED)


def test_asking_for_the_money_again_changes_nothing() -> None:
    given(REQUESTED).when(REQUEST).then()
    given(*IS_CAPTURED).when(REQUEST).then()
    given(REQUESTED, DECLINED).when(REQUEST).then()


def test_what_the_provider_sets_aside_is_authorised_at_the_time_of_the_sale() -> None:
    given(REQUESTED).when(SAID_YES).then(AUTHORISED)


def test_what_the_provider_does_not_give_is_declined_with_its_reason() -> None:
    given(REQUESTED).when(SAID_NO).then(DECLINED)


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    given(*IS_AUTHORISED).when(SAID_YES).then()
    given(*IS_CAPTURED).when(SAID_YES).then()
    given(REQUESTED, DECLINED).when(SAID_NO).then()


def test_an_answer_that_contradicts_the_first_is_refused() -> None:
    given(*IS_AUTHORISED).when(SAID_NO).then_rejected("payment.contradiction")
    given(REQUESTED, DECLINED).when(SAID_YES).then_rejected("payment.contradiction")


def test_an_answer_to_what_nobody_asked_is_refused() -> None:
    given().when(SAID_YES).then_rejected("payment.not-asked")


def test_nothing_to_pay_is_authorised_without_the_provider() -> None:
    given().when(FREE).then(NOTHING_TO_PAY)
    given(NOTHING_TO_PAY).when(FREE).then()


def test_what_was_let_go_before_it_was_asked_for_is_declined() -> None:
    declined = PaymentDeclined(reason="it was to be let go before it was asked for", at=SOLD)
    given(PaymentVoided(amount=0, at=ENDED)).when(REQUEST).then(declined)
