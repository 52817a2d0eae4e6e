"""What happened to an order.

WARNING: these names and fields are stored for ever. Add fields with defaults; never rename, retype or reuse one.
Fields have no limits here: limits are rules for what is asked, and what was recorded once must always be readable.
"""

from datetime import datetime

from msgspec import Struct

from common.messages import Event
from common.personal import Personal


class OrderLine(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """A line as it was sold. `amount` is for the whole line, in minor units: real amounts do not divide by quantity.

    `unit_price` is there where one is known: always when the price list decided the amount.
    """

    sku: str
    department: str
    quantity: int
    amount: int
    unit_price: int | None = None


class OrderPlaced(Event, kw_only=True):
    """A customer ordered these lines, to be served from `site`. `at` (UTC) is when it was sold.

    `deliver_to` holds name, street, city, postal_code and country, under the customer's key. `payment_method` is a
    token of the payment provider, `currency` an ISO 4217 code, `channel` a label for where the order came from.
    """

    customer_id: str
    site: str
    deliver_to: Personal
    payment_method: str
    currency: str
    channel: str
    at: datetime
    lines: tuple[OrderLine, ...]


class OrderCancelled(Event, kw_only=True):
    """The order is not to be served. `at` (UTC) is when that was accepted."""

    reason: str
    at: datetime
