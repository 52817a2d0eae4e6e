"""Opening an account, changing it, closing it."""

import pytest

from common.messages import Command
from contexts.customer.commands import (
    ChangeAddress,
    ChangeContact,
    CloseAccount,
    RegisterCustomer,
    ReinstateCustomer,
    SuspendCustomer,
)
from contexts.customer.decider import Customer, claims, decide, evolve, may_claim
from contexts.customer.events import AddressChanged, AdmissionRefused, CustomerRegistered
from contexts.customer.wiring import CONTEXT
from tests.customer import (
    CLOSED,
    ELSEWHERE,
    HOME,
    MARRIED,
    MARRY,
    REGISTER,
    REGISTERED,
    REINSTATED,
    SUSPENDED,
    contact,
    residence,
)
from tests.scenario import NOW, fingerprint_of, folded, given, known

CHANGES = [MARRY, ChangeAddress("ada", HOME), SuspendCustomer("ada", "chargebacks"), ReinstateCustomer("ada")]


def test_a_customer_registers_with_all_that_she_states() -> None:
    given().when(REGISTER).then(REGISTERED)


def test_phone_and_address_may_be_left_out() -> None:
    given().when(RegisterCustomer("ada", "Ada Miller", "ada@example.org")).then(
        CustomerRegistered(
            contact=contact(phone=None), email_fingerprint=fingerprint_of("ada@example.org"), address=None, at=NOW
        )
    )


def test_a_customer_registers_once() -> None:
    for past in ([REGISTERED], [REGISTERED, SUSPENDED]):
        given(*past).when(REGISTER).then_rejected("customer.already-registered")


def test_who_ordered_without_an_account_can_still_register() -> None:
    given(AdmissionRefused(order_id="o1", reason="unknown", at=NOW)).when(REGISTER).then(REGISTERED)


@pytest.mark.parametrize("command", [*CHANGES, CloseAccount("ada")], ids=lambda command: type(command).__name__)
def test_nothing_changes_about_a_customer_who_is_unknown(command: Command) -> None:
    given().when(command).then_rejected("customer.unknown")
    given(AdmissionRefused(order_id="o1", reason="unknown", at=NOW)).when(command).then_rejected("customer.unknown")


@pytest.mark.parametrize("command", [REGISTER, *CHANGES], ids=lambda command: type(command).__name__)
def test_nothing_changes_about_a_closed_account(command: Command) -> None:
    given(REGISTERED, CLOSED).when(command).then_rejected("customer.closed")


def test_contact_and_address_change_also_while_suspended() -> None:
    moved = AddressChanged(address=residence("7 Oak Lane", "45503"), at=NOW)
    for past in ([REGISTERED], [REGISTERED, SUSPENDED]):
        given(*past).when(MARRY).then(MARRIED)
        given(*past).when(ChangeAddress("ada", ELSEWHERE)).then(moved)


def test_a_suspended_customer_can_be_reinstated() -> None:
    given(REGISTERED).when(SuspendCustomer("ada", "chargebacks")).then(SUSPENDED)
    given(REGISTERED, SUSPENDED).when(ReinstateCustomer("ada")).then(REINSTATED)


def test_asking_for_what_is_so_already_changes_nothing() -> None:
    given(REGISTERED).when(ReinstateCustomer("ada")).then()
    given(REGISTERED, SUSPENDED).when(SuspendCustomer("ada", "another reason")).then()
    given(REGISTERED, CLOSED).when(CloseAccount("ada")).then()


def test_an_account_is_closed_for_good_also_while_suspended() -> None:
    given(REGISTERED).when(CloseAccount("ada")).then(CLOSED)
    given(REGISTERED, SUSPENDED).when(CloseAccount("ada")).then(CLOSED)


def test_an_open_account_claims_the_fingerprint_of_its_email_and_never_the_email() -> None:
    for past in ([REGISTERED], [REGISTERED, SUSPENDED], [REGISTERED, SUSPENDED, REINSTATED]):
        assert claims(folded(CONTEXT, past)) == set(may_claim(REGISTER, known()))
    assert claims(folded(CONTEXT, [REGISTERED, MARRIED])) == set(may_claim(MARRY, known()))
    assert "ada" not in repr(may_claim(REGISTER, known()))


def test_who_is_new_or_has_closed_claims_nothing() -> None:
    assert claims(Customer()) == frozenset()
    assert claims(folded(CONTEXT, [REGISTERED, CLOSED])) == frozenset()


@pytest.mark.parametrize("email", ["ADA@EXAMPLE.ORG", "Ada@Example.Org", "ada@example.org"])
def test_capitals_make_no_other_email(email: str) -> None:
    assert may_claim(ChangeContact("ben", "Ben", email), known()) == may_claim(REGISTER, known())


def test_composed_or_not_an_accent_makes_no_other_email() -> None:
    assert fingerprint_of("andr\u00e9@example.org") == fingerprint_of("Andre\u0301@example.org ")


def test_the_same_contact_again_is_a_change_since_sealed_data_are_not_compared() -> None:
    again = ChangeContact("ada", "Ada Miller", "ada@example.org", "+1 937 555 0100")
    (event,) = decide(again, folded(CONTEXT, [REGISTERED]), known())
    before, after = folded(CONTEXT, [REGISTERED]), folded(CONTEXT, [REGISTERED, event])
    assert claims(before) == claims(after)
    assert evolve(before, event) == after == before
