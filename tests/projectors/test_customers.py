"""Customers as they can be asked for."""

from datetime import timedelta

from common.personal import Personal
from contexts.customer.events import (
    AccountClosed,
    AddressChanged,
    AdmissionGranted,
    AdmissionRefused,
    ContactChanged,
    CustomerRegistered,
    CustomerReinstated,
    CustomerSuspended,
)
from projectors.customers import MODEL, QUERIES, TABLE, CustomerRow, CustomerView, GetCustomer
from tests.projectors.conftest import NOON, Shelf

LATER = NOON + timedelta(hours=1)


def seal(text: str) -> Personal:
    return Personal("ada", sealed=text)


REGISTERED = CustomerRegistered(contact=seal("Y29udGFjdA=="), email_fingerprint="f", address=None, at=NOON)


async def shown(shelf: Shelf, customer: str = "ada") -> CustomerView | None:
    view: CustomerView | None = await shelf.ask(GetCustomer(customer), QUERIES)
    return view


async def test_a_customer_is_shown_as_she_stands_and_without_personal_data(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("ada", REGISTERED))
    assert await shown(shelf) == CustomerView(
        customer_id="ada", state="registered", registered_at=NOON, version=1, position=1
    )
    assert await shown(shelf, "ben") is None


async def test_suspended_reinstated_closed(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("ada", REGISTERED))
    for event, state in (
        (CustomerSuspended(reason="chargebacks", at=LATER), "suspended"),
        (CustomerReinstated(at=LATER), "registered"),
        (AccountClosed(at=LATER), "closed"),
    ):
        await shelf.happen(MODEL, ("ada", event))
        assert (view := await shown(shelf)) and (view.state, view.registered_at) == (state, NOON)


async def test_the_row_keeps_the_latest_contact_and_address_sealed_as_they_were_recorded(shelf: Shelf) -> None:
    await shelf.happen(
        MODEL,
        ("ada", REGISTERED),
        ("ada", ContactChanged(contact=seal("bmV3"), email_fingerprint="g", at=LATER)),
        ("ada", AddressChanged(address=seal("aG9tZQ=="), at=LATER)),
    )
    row: CustomerRow = TABLE.kept(await shelf.pool.fetchrow(TABLE.select)).row
    assert (row.contact, row.address) == (seal("bmV3"), seal("aG9tZQ=="))


async def test_an_admission_changes_nothing_but_the_version(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("ada", REGISTERED), ("ada", AdmissionGranted(order_id="o1", at=LATER)))
    assert (view := await shown(shelf)) and (view.state, view.version) == ("registered", 2)


async def test_who_ordered_without_an_account_is_no_customer(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("eve", AdmissionRefused(order_id="o1", reason="unknown", at=NOON)))
    assert await shown(shelf, "eve") is None
    await shelf.happen(MODEL, ("eve", REGISTERED))
    assert (view := await shown(shelf, "eve")) and (view.state, view.version) == ("registered", 2)
