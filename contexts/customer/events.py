"""What happened to a customer.

WARNING: these names and fields are stored for ever. Add fields with defaults; never rename, retype or reuse one.
Fields have no limits here: limits are rules for what is asked, and what was recorded once must always be readable.

`email_fingerprint` is a keyed hash of the e-mail: it tells whether two are the same, and not what they are.
"""

from datetime import datetime

from common.messages import Event
from common.personal import Personal


class CustomerRegistered(Event, kw_only=True):
    """An account was opened. `contact` holds name, email and phone; `address` street, city, postal_code, country."""

    contact: Personal
    email_fingerprint: str
    address: Personal | None
    at: datetime


class ContactChanged(Event, kw_only=True):
    """`contact` holds name, email and phone, all three as they are now."""

    contact: Personal
    email_fingerprint: str
    at: datetime


class AddressChanged(Event, kw_only=True):
    """`address` holds street, city, postal_code and country."""

    address: Personal
    at: datetime


class CustomerSuspended(Event, kw_only=True):
    """No orders are admitted."""

    reason: str
    at: datetime


class CustomerReinstated(Event, kw_only=True):
    """Orders are admitted again."""

    at: datetime


class AccountClosed(Event, kw_only=True):
    """The account has ended for good."""

    at: datetime


class AdmissionGranted(Event, kw_only=True):
    """The customer may have this order. `at` is the order's time of business."""

    order_id: str
    at: datetime


class AdmissionRefused(Event, kw_only=True):
    """The customer may not have this order. `reason` is `unknown`, `suspended` or `closed`."""

    order_id: str
    reason: str
    at: datetime
