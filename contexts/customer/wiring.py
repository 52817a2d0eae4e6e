"""customer, as the shells run it."""

from common.context import Context
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
)
