"""Customers as they stand: one row a customer.

Contact and address rest sealed in the row and are not part of the answer: nothing on this side has a key. Who has the
role `personal-data` asks for the customer as of now, in the record: `/customers/{customer_id}?as_of=now`.
"""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct
from msgspec.structs import replace

from common.messages import Event, Id, Query
from common.personal import Personal
from common.readmodel import Key, ReadModel
from common.store.read_tables import Kept, Table
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

CustomerState = Literal["registered", "suspended", "closed"]


class CustomerRow(Struct, frozen=True, kw_only=True):
    """A customer. `contact` and `address` are sealed; once their key is destroyed, nobody opens them again."""

    customer_id: str
    state: CustomerState
    registered_at: datetime
    contact: Personal
    address: Personal | None


STATES: dict[type[Event], CustomerState] = {
    CustomerSuspended: "suspended",
    CustomerReinstated: "registered",
    AccountClosed: "closed",
}
NOTED = (AdmissionGranted, AdmissionRefused)
"""They change nothing here but the version of the stream, which is what `If-Match` compares."""


def keys(stream: str, event: Event) -> list[Key]:
    return [(stream,)]


def apply(row: CustomerRow | None, stream: str, event: Event) -> CustomerRow | None:
    """An order of somebody who never registered leaves no row."""
    if isinstance(event, CustomerRegistered):
        return CustomerRow(
            customer_id=stream,
            state="registered",
            registered_at=event.at,
            contact=event.contact,
            address=event.address,
        )
    if row is None:
        return None
    match event:
        case ContactChanged(contact=contact):
            return replace(row, contact=contact)
        case AddressChanged(address=address):
            return replace(row, address=address)
        case _:
            return replace(row, state=STATES.get(type(event), row.state))


MODEL = ReadModel(
    name="customers",
    row=CustomerRow,
    key=("customer_id",),
    follows={"customer": (CustomerRegistered, ContactChanged, AddressChanged, *STATES, *NOTED)},
    keys=keys,
    apply=apply,
)
TABLE = Table(MODEL)


class CustomerView(Struct, frozen=True, kw_only=True):
    """A customer, with the version of the stream and the position of the record that this answer reflects."""

    customer_id: str
    state: CustomerState
    registered_at: datetime
    version: int
    position: int


class GetCustomer(Query, get="/customers/{customer_id}", stream="customer", awaits="state", answer=CustomerView):
    """One customer, without personal data. With `as_of=now`, who may read personal data is shown that too."""

    customer_id: Id


async def get_customer(query: GetCustomer, connection: Any) -> CustomerView | None:
    record = await connection.fetchrow(f"{TABLE.select} WHERE customer_id = $1", query.customer_id)
    return view(TABLE.kept(record)) if record else None


def view(kept: Kept) -> CustomerView:
    row: CustomerRow = kept.row
    return CustomerView(
        customer_id=row.customer_id,
        state=row.state,
        registered_at=row.registered_at,
        version=kept.version,
        position=kept.positions["customer"],
    )


QUERIES = {GetCustomer: get_customer}
