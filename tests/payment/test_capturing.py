"""Authorised money is taken once the goods have left."""

from msgspec.structs import replace

from contexts.payment.commands import CapturePayment
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
from tests.scenario import NOW, given, known

OPERATOR, REACTION, TILL = known("operator"), known("reaction"), known("operator", "trusted-channel")
FAILED = CaptureFailed(reason="account closed", at=SENT)
FAILED_ONCE = (*IS_AUTHORISED, CAPTURING, FAILED)
AGAIN = replace(CAPTURING, attempt=2)
CAME_AT_LAST = replace(CAME, attempt=2)


def test_all_that_was_authorised_is_asked_of_the_provider() -> None:
    given(*IS_AUTHORISED).when(CAPTURE, REACTION).then(CAPTURING)


def test_the_money_that_came_is_captured() -> None:
    given(*IS_AUTHORISED, CAPTURING).when(CAME).then(CAPTURED)


def test_money_that_did_not_come_is_a_failure() -> None:
    given(*IS_AUTHORISED, CAPTURING).when(CAME_NOT).then(FAILED)


def test_an_operator_asks_again_for_money_that_did_not_come() -> None:
    given(*FAILED_ONCE).when(CapturePayment("o1"), OPERATOR).then(replace(AGAIN, at=NOW))
    given(*FAILED_ONCE).when(CAPTURE, REACTION).then(AGAIN)
    given(*FAILED_ONCE, AGAIN).when(CAME_AT_LAST).then(CAPTURED)
    given(*FAILED_ONCE, AGAIN).when(replace(CAME_NOT, attempt=2)).then(FAILED)
    given(*FAILED_ONCE, AGAIN, FAILED).when(CAPTURE, REACTION).then(replace(AGAIN, attempt=3))


def test_a_late_word_about_a_capture_that_failed_says_nothing_of_the_next() -> None:
    given(*FAILED_ONCE, AGAIN).when(CAME_NOT).then()
    given(*FAILED_ONCE, AGAIN).when(CAME).then_rejected("payment.contradiction")
    given(*FAILED_ONCE, AGAIN, CAPTURED).when(CAME_NOT).then()
    for attempt in (-1, 0, 3):
        said = replace(CAME_NOT, attempt=attempt)
        given(*FAILED_ONCE, AGAIN).when(said).then_rejected("payment.not-asked")


def test_nobody_takes_money_before_the_goods_have_left() -> None:
    given(*IS_AUTHORISED).when(CapturePayment("o1"), OPERATOR).then_rejected("payment.not-due")


def test_an_operator_who_asks_while_it_is_awaited_or_done_changes_nothing() -> None:
    for past in ((*IS_AUTHORISED, CAPTURING), IS_CAPTURED, (*FAILED_ONCE, AGAIN), (*FAILED_ONCE, AGAIN, CAPTURED)):
        given(*past).when(CapturePayment("o1"), OPERATOR).then()


def test_only_a_trusted_channel_states_when_money_was_taken() -> None:
    given(*FAILED_ONCE).when(CAPTURE, OPERATOR).then_rejected("payment.not-yours-to-state", field="at")
    given(*FAILED_ONCE).when(CAPTURE, TILL).then(AGAIN)


def test_money_that_did_not_come_and_was_let_go_is_not_asked_for_again() -> None:
    given(*FAILED_ONCE, VOIDING).when(CapturePayment("o1"), OPERATOR).then_rejected("payment.voided")


def test_asking_to_capture_again_changes_nothing() -> None:
    given(*IS_AUTHORISED, CAPTURING).when(CAPTURE, REACTION).then()
    given(*IS_CAPTURED).when(CAPTURE, REACTION).then()


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    given(*IS_CAPTURED).when(CAME).then()
    given(*FAILED_ONCE).when(CAME_NOT).then()


def test_an_answer_that_contradicts_the_first_is_refused() -> None:
    given(*IS_CAPTURED).when(CAME_NOT).then_rejected("payment.contradiction")
    given(*FAILED_ONCE).when(CAME).then_rejected("payment.contradiction")


def test_an_answer_to_what_nobody_asked_is_refused() -> None:
    given(*IS_AUTHORISED).when(CAME).then_rejected("payment.not-asked")


def test_what_is_not_authorised_is_not_taken() -> None:
    given().when(CAPTURE, REACTION).then_rejected("payment.not-authorised")
    given(REQUESTED).when(CAPTURE, REACTION).then_rejected("payment.not-authorised")
    given(REQUESTED, DECLINED).when(CAPTURE, REACTION).then_rejected("payment.not-authorised")


def test_what_was_let_go_is_not_taken() -> None:
    given(*IS_AUTHORISED, VOIDING).when(CAPTURE, REACTION).then_rejected("payment.voided")


def test_nothing_to_pay_is_captured_at_once() -> None:
    given(NOTHING_TO_PAY).when(CAPTURE, REACTION).then(NOTHING_CAPTURED)
    given(NOTHING_TO_PAY, NOTHING_CAPTURED).when(CAPTURE, REACTION).then()
