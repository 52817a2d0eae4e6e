"""The rules of a customer, as sentences; and what the sentences are made of."""

from typing import Any

from common.personal import Personal
from contexts.customer.commands import Address, ChangeContact, RegisterCustomer
from contexts.customer.events import (
    AccountClosed,
    ContactChanged,
    CustomerRegistered,
    CustomerReinstated,
    CustomerSuspended,
)
from tests.scenario import NOW, fingerprint_of

HOME = Address("12 Elm Street", "Springfield", "45501", "US")
ELSEWHERE = Address("7 Oak Lane", "Springfield", "45503", "US")
REGISTER = RegisterCustomer("ada", "Ada Miller", "ada@example.org", "+1 937 555 0100", HOME)


def contact(
    name: str = "Ada Miller", email: str = "ada@example.org", phone: str | None = "+1 937 555 0100"
) -> Personal:
    return Personal("ada", {"name": name, "email": email, "phone": phone})


def residence(street: str = "12 Elm Street", postal_code: str = "45501") -> Personal:
    where: dict[str, Any] = {"street": street, "city": "Springfield", "postal_code": postal_code, "country": "US"}
    return Personal("ada", where)


REGISTERED = CustomerRegistered(
    contact=contact(), email_fingerprint=fingerprint_of("ada@example.org"), address=residence(), at=NOW
)
SUSPENDED = CustomerSuspended(reason="chargebacks", at=NOW)
REINSTATED = CustomerReinstated(at=NOW)
CLOSED = AccountClosed(at=NOW)

MARRY = ChangeContact("ada", "Ada King", "ada.king@example.org")
MARRIED = ContactChanged(
    contact=contact("Ada King", "ada.king@example.org", None),
    email_fingerprint=fingerprint_of("ada.king@example.org"),
    at=NOW,
)
