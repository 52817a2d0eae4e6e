"""What may be asked of a customer."""

from typing import Annotated

from msgspec import Meta, Struct

from common.messages import Command, Id, Instant, Text

Email = Annotated[str, Meta(pattern=r"^[^@\s]{1,64}@[^@\s.]+(\.[^@\s.]+)+$(?!\n)", max_length=200)]
Phone = Annotated[str, Meta(pattern=r"^\+?[0-9 ()./-]{5,30}$(?!\n)", max_length=31)]


class Address(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Where a customer lives: personal data, sealed before it is stored."""

    street: Text
    city: Text
    postal_code: Annotated[str, Meta(min_length=1, max_length=20)]
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)", description="ISO 3166-1 alpha-2 code")]


class RegisterCustomer(
    Command,
    key="customer_id",
    post="/customers",
    roles={"storefront", "operator"},
    person="customer_id",
    example={"name": "Ada Miller", "email": "ada@example.org", "phone": "+1 937 555 0100"},
):
    """Open an account. An e-mail belongs to one account at most, however it is written in capitals."""

    customer_id: Id
    name: Text
    email: Email
    phone: Phone | None = None
    address: Address | None = None


class ChangeContact(
    Command,
    key="customer_id",
    post="/customers/{customer_id}/contact",
    roles={"storefront", "operator"},
    person="customer_id",
    example={"name": "Ada King", "email": "ada.king@example.org", "phone": "+1 937 555 0101"},
):
    """Name, e-mail and phone as they are from now on."""

    customer_id: Id
    name: Text
    email: Email
    phone: Phone | None = None


class ChangeAddress(
    Command,
    key="customer_id",
    post="/customers/{customer_id}/address",
    roles={"storefront", "operator"},
    person="customer_id",
    example={
        "address": {"street": "7 Oak Lane", "city": "Springfield", "postal_code": "45503", "country": "US"},
    },
):
    """The customer lives there from now on. Orders go where each order says."""

    customer_id: Id
    address: Address


class SuspendCustomer(
    Command,
    key="customer_id",
    post="/customers/{customer_id}/suspend",
    roles={"operator"},
    example={"reason": "chargebacks"},
):
    """Admit no more of this customer's orders, from this moment on. Those admitted already go on."""

    customer_id: Id
    reason: Text


class ReinstateCustomer(
    Command, key="customer_id", post="/customers/{customer_id}/reinstate", roles={"operator"}, example={}
):
    """Admit this customer's orders again."""

    customer_id: Id


class CloseAccount(
    Command, key="customer_id", post="/customers/{customer_id}/close", roles={"storefront", "operator"}, example={}
):
    """End the account for good. Its e-mail is free again."""

    customer_id: Id


class AdmitOrder(Command, key="customer_id"):
    """Whether this customer may order now."""

    customer_id: Id
    order_id: Id
    at: Instant
