"""Authorised money is taken once the goods have left."""

from contexts.payment.events import CaptureFailed
from tests.payment import (
    CAME,
    CAME_NOT,
    CAPTURE,
    CAPTURED,
    CAPTURING,
    DECLINED,
    IS_AUTHORISED,
    IS_CAPTURED,
    NOTHING_CAPTURED,
    NOTHING_TO_PAY,
    REQUESTED,
    SENT,
    VOIDING,
)
from tests.scenario import given

FAILED = CaptureFailed(reason="account closed", at=SENT)


def test_all_that_was_authorised_is_asked_of_the_provider() -> None:
    given(*IS_AUTHORISED).when(CAPTURE).then(CAPTURING)


def test_the_money_that_came_is_captured() -> None:
    given(*IS_AUTHORISED, CAPTURING).when(CAME).then(CAPTURED)


def test_money_that_did_not_come_is_a_failure_and_not_asked_for_again() -> None:
    given(*IS_AUTHORISED, CAPTURING).when(CAME_NOT).then(FAILED)
    given(*IS_AUTHORISED, CAPTURING, FAILED).when(CAPTURE).then()


def test_asking_to_capture_again_changes_nothing() -> None:
    given(*IS_AUTHORISED, CAPTURING).when(CAPTURE).then()
    given(*IS_CAPTURED).when(CAPTURE).then()


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    given(*IS_CAPTURED).when(CAME).then()
    given(*IS_AUTHORISED, CAPTURING, FAILED).when(CAME_NOT).then()


def test_an_answer_that_contradicts_the_first_is_refused() -> None:
    given(*IS_CAPTURED).when(CAME_NOT).then_rejected("payment.contradiction")
    given(*IS_AUTHORISED, CAPTURING, FAILED).when(CAME).then_rejected("payment.contradiction")


def test_an_answer_to_what_nobody_asked_is_refused() -> None:
    given(*IS_AUTHORISED).when(CAME).then_rejected("payment.not-asked")


def test_what_is_not_authorised_is_not_taken() -> None:
    given().when(CAPTURE).then_rejected("payment.not-authorised")
    given(REQUESTED).when(CAPTURE).then_rejected("payment.not-authorised")
    given(REQUESTED, DECLINED).when(CAPTURE).then_rejected("payment.not-authorised")


def test_what_was_let_go_is_not_taken() -> None:
    given(*IS_AUTHORISED, VOIDING).when(CAPTURE).then_rejected("payment.voided")


def test_nothing_to_pay_is_captured_at_once() -> None:
    given(NOTHING_TO_PAY).when(CAPTURE).then(NOTHING_CAPTURED)
    given(NOTHING_TO_PAY, NOTHING_CAPTURED).when(CAPTURE).then()
