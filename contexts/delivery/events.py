"""What happened to the delivery of an order.

WARNING: these names and fields are stored for ever. Add fields with defaults; never rename, retype or reuse one.
Fields have no limits here: limits are rules for what is asked, and what was recorded once must always be readable.

`at` (UTC) is the time of business.
"""

from datetime import datetime

from msgspec import Struct

from common.messages import Event
from common.personal import Personal


class ParcelLine(Struct, frozen=True, gc=False):
    """So much of a product is in the parcel."""

    sku: str
    quantity: int


class DeliveryScheduled(Event, kw_only=True):
    """These goods are to be sent from `site`. `deliver_to` is as the order holds it, under the customer's key."""

    site: str
    deliver_to: Personal
    lines: tuple[ParcelLine, ...]
    at: datetime


class DeliveryCancelled(Event, kw_only=True):
    """It is not sent."""

    reason: str
    at: datetime


class DeliveryDispatched(Event, kw_only=True):
    """It has left the site."""

    at: datetime


class DeliveryAttemptFailed(Event, kw_only=True):
    """Nobody took it, for the `attempt`-th time."""

    attempt: int
    reason: str
    at: datetime


class DeliveryConfirmed(Event, kw_only=True):
    """The customer has it."""

    at: datetime


class DeliveryReturned(Event, kw_only=True):
    """It has come back to the site, undelivered."""

    reason: str
    at: datetime
