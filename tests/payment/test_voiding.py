"""Authorised money that nobody will take is let go, and no wish for that is lost."""

from contexts.payment.events import CaptureFailed, PaymentVoided, VoidFailed, VoidRequested
from tests.payment import (
    AUTHORISED,
    CAPTURING,
    DECLINED,
    ENDED,
    IS_AUTHORISED,
    IS_CAPTURED,
    LET_GO,
    NOT_LET_GO,
    NOTHING_TO_PAY,
    REQUESTED,
    SAID_NO,
    SAID_YES,
    SENT,
    VOID,
    VOIDING,
)
from tests.scenario import given

VOIDED = PaymentVoided(amount=500, at=ENDED)
FAILED = VoidFailed(reason="not found", at=ENDED)
TOO_EARLY = VoidRequested(amount=500, currency="USD", method="pm_ok", authorisation="", at=ENDED)


def test_the_provider_is_asked_to_let_go_of_authorised_money() -> None:
    given(*IS_AUTHORISED).when(VOID).then(VOIDING)


def test_what_the_provider_let_go_is_voided() -> None:
    given(*IS_AUTHORISED, VOIDING).when(LET_GO).then(VOIDED)


def test_what_the_provider_did_not_let_go_is_a_failure() -> None:
    given(*IS_AUTHORISED, VOIDING).when(NOT_LET_GO).then(FAILED)


def test_asking_to_let_go_again_changes_nothing() -> None:
    for said in ([], [VOIDED], [FAILED]):
        given(*IS_AUTHORISED, VOIDING, *said).when(VOID).then()


def test_an_answer_that_comes_twice_changes_nothing() -> None:
    given(*IS_AUTHORISED, VOIDING, VOIDED).when(LET_GO).then()
    given(*IS_AUTHORISED, VOIDING, FAILED).when(NOT_LET_GO).then()


def test_an_answer_that_contradicts_the_first_is_refused() -> None:
    given(*IS_AUTHORISED, VOIDING, VOIDED).when(NOT_LET_GO).then_rejected("payment.contradiction")
    given(*IS_AUTHORISED, VOIDING, FAILED).when(LET_GO).then_rejected("payment.contradiction")


def test_an_answer_to_what_nobody_asked_is_refused() -> None:
    given(*IS_AUTHORISED).when(LET_GO).then_rejected("payment.not-asked")


def test_nothing_to_pay_is_let_go_without_the_provider() -> None:
    given(NOTHING_TO_PAY).when(VOID).then(PaymentVoided(amount=0, at=ENDED))


def test_of_declined_money_there_is_nothing_to_let_go() -> None:
    given(REQUESTED, DECLINED).when(VOID).then()


def test_money_that_was_taken_or_is_being_taken_is_not_let_go() -> None:
    given(*IS_AUTHORISED, CAPTURING).when(VOID).then_rejected("payment.captured")
    given(*IS_CAPTURED).when(VOID).then_rejected("payment.captured")


def test_money_that_could_not_be_taken_can_be_let_go() -> None:
    given(*IS_AUTHORISED, CAPTURING, CaptureFailed(reason="", at=SENT)).when(VOID).then(VOIDING)


def test_what_is_to_be_let_go_before_the_provider_has_answered_is_let_go_as_soon_as_it_has() -> None:
    given(REQUESTED).when(VOID).then(TOO_EARLY)
    given(REQUESTED, TOO_EARLY).when(VOID).then()
    given(REQUESTED, TOO_EARLY).when(SAID_YES).then(AUTHORISED, VOIDING)
    given(REQUESTED, TOO_EARLY).when(SAID_NO).then(DECLINED)
    given(REQUESTED, TOO_EARLY).when(NOT_LET_GO).then_rejected("payment.not-asked")
    given(REQUESTED, TOO_EARLY, DECLINED).when(LET_GO).then_rejected("payment.not-asked")
    given(REQUESTED, TOO_EARLY, AUTHORISED, VOIDING).when(LET_GO).then(VOIDED)


def test_what_is_to_be_let_go_before_it_was_asked_for_is_let_go() -> None:
    given().when(VOID).then(PaymentVoided(amount=0, at=ENDED))
