"""customer, as the shells run it."""

from common.context import Context, Snapshot
from contexts.customer.commands import (
    AdmitOrder,
    ChangeAddress,
    ChangeContact,
    CloseAccount,
    RegisterCustomer,
    ReinstateCustomer,
    SuspendCustomer,
)
from contexts.customer.decider import EMAIL_TAKEN, Customer, claims, decide, evolve, may_claim
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


def as_it_is(customer: Customer) -> Customer:
    """A customer is small and all sealed: it rests as it is."""
    return customer


def weigh(customer: Customer) -> int:
    """Bytes of memory, about: two seals, a fingerprint."""
    return 1500


CONTEXT = Context(
    name="customer",
    commands=(
        RegisterCustomer,
        ChangeContact,
        ChangeAddress,
        SuspendCustomer,
        ReinstateCustomer,
        CloseAccount,
        AdmitOrder,
    ),
    events=(
        CustomerRegistered,
        ContactChanged,
        AddressChanged,
        CustomerSuspended,
        CustomerReinstated,
        AccountClosed,
        AdmissionGranted,
        AdmissionRefused,
    ),
    initial=Customer(),
    decide=decide,
    evolve=evolve,
    claims=claims,
    may_claim=may_claim,
    claimed=EMAIL_TAKEN,
    snapshot=Snapshot(form=Customer, freeze=as_it_is, thaw=as_it_is, weigh=weigh, every=100),
)
