"""The rules of a customer: who may order, and what may change."""

from enum import StrEnum

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from common.context import Claim, Known
from common.messages import Event, Rejected
from common.personal import Personal
from contexts.customer.commands import (
    Address,
    AdmitOrder,
    ChangeAddress,
    ChangeContact,
    CloseAccount,
    RegisterCustomer,
    ReinstateCustomer,
    SuspendCustomer,
)
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

CustomerCommand = (
    RegisterCustomer | ChangeContact | ChangeAddress | SuspendCustomer | ReinstateCustomer | CloseAccount | AdmitOrder
)

EMAIL_TAKEN = "customer.email-taken"


class Stage(StrEnum):
    """What a customer may do."""

    NEW = "new"
    REGISTERED = "registered"
    SUSPENDED = "suspended"
    CLOSED = "closed"


REASONS = {Stage.NEW: "unknown", Stage.SUSPENDED: "suspended", Stage.CLOSED: "closed"}
"""Why an order is refused."""


class Customer(Struct, frozen=True, gc=False):
    """A customer as her events left her. Before the first one she is new. What is personal stays sealed."""

    stage: Stage = Stage.NEW
    email_fingerprint: str = ""
    contact: Personal | None = None
    address: Personal | None = None


def decide(command: CustomerCommand, customer: Customer, known: Known) -> list[Event]:
    """What happens when this is asked. Raises `Rejected` when a rule says no."""
    match command, customer.stage:
        case AdmitOrder(), stage:
            return [answered(command, stage)]
        case RegisterCustomer(), Stage.NEW:
            return [registered(command, known)]
        case _, Stage.NEW:
            raise Rejected("customer.unknown", f"there is no customer {command.customer_id}")
        case CloseAccount(), stage:
            return [] if stage == Stage.CLOSED else [AccountClosed(at=known.at)]
        case _, Stage.CLOSED:
            raise Rejected("customer.closed", f"the account {command.customer_id} is closed and changes no more")
        case RegisterCustomer(), _:
            raise Rejected("customer.already-registered", f"there is a customer {command.customer_id} already")
        case _:
            return changed(command, customer.stage, known)


def changed(command: CustomerCommand, stage: Stage, known: Known) -> list[Event]:
    """What happens to an open account; nothing when it is so already."""
    match command, stage:
        case ChangeContact(email=email), _:
            mark = known.fingerprint(email)
            return [ContactChanged(contact=contact(command), email_fingerprint=mark, at=known.at)]
        case ChangeAddress(customer_id=person, address=there), _:
            return [AddressChanged(address=residence(person, there), at=known.at)]
        case SuspendCustomer(reason=reason), Stage.REGISTERED:
            return [CustomerSuspended(reason=reason, at=known.at)]
        case ReinstateCustomer(), Stage.SUSPENDED:
            return [CustomerReinstated(at=known.at)]
        case _:
            return []


def answered(command: AdmitOrder, stage: Stage) -> Event:
    """Yes or no to an order: always an event, since the order waits for it."""
    if stage == Stage.REGISTERED:
        return AdmissionGranted(order_id=command.order_id, at=command.at)
    return AdmissionRefused(order_id=command.order_id, reason=REASONS[stage], at=command.at)


def registered(command: RegisterCustomer, known: Known) -> CustomerRegistered:
    return CustomerRegistered(
        contact=contact(command),
        email_fingerprint=known.fingerprint(command.email),
        address=residence(command.customer_id, command.address) if command.address else None,
        at=known.at,
    )


def contact(command: RegisterCustomer | ChangeContact) -> Personal:
    value = {"name": command.name, "email": command.email, "phone": command.phone}
    return Personal(command.customer_id, value)


def residence(person: str, address: Address) -> Personal:
    return Personal(person, msgspec.to_builtins(address))


def evolve(customer: Customer, event: Event) -> Customer:
    """The customer after the event. Admissions leave no trace: they are answers, not changes."""
    match event:
        case CustomerRegistered(contact=contact, email_fingerprint=mark, address=address):
            return Customer(Stage.REGISTERED, mark, contact, address)
        case ContactChanged(contact=contact, email_fingerprint=mark):
            return replace(customer, contact=contact, email_fingerprint=mark)
        case AddressChanged(address=address):
            return replace(customer, address=address)
        case CustomerSuspended():
            return replace(customer, stage=Stage.SUSPENDED)
        case CustomerReinstated():
            return replace(customer, stage=Stage.REGISTERED)
        case AccountClosed():
            return replace(customer, stage=Stage.CLOSED)
        case _:
            return customer


def claims(customer: Customer) -> frozenset[Claim]:
    """An open account holds its e-mail, also while it is suspended; a closed one holds nothing."""
    if customer.stage in (Stage.NEW, Stage.CLOSED):
        return frozenset()
    return frozenset({Claim("email", customer.email_fingerprint)})


def may_claim(command: CustomerCommand, known: Known) -> tuple[Claim, ...]:
    """The e-mail that the command names, if it names one."""
    if isinstance(command, RegisterCustomer | ChangeContact):
        return (Claim("email", known.fingerprint(command.email)),)
    return ()
