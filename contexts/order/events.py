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


class GoodsLine(Struct, frozen=True, gc=False):
    """So much of a product."""

    sku: str
    quantity: int


class RefundableLine(Struct, frozen=True, gc=False):
    """A line as it can be paid back."""

    sku: str
    quantity: int
    amount: int


class RefundedLine(Struct, frozen=True, gc=False):
    """What of a line was paid back."""

    sku: str
    department: str
    quantity: int
    amount: int


class OrderAdmitted(Event, kw_only=True):
    """The customer may have it; the goods are asked for. Lines of quantity 0 need none."""

    site: str
    lines: tuple[GoodsLine, ...]
    at: datetime


class OrderReserved(Event, kw_only=True):
    """The goods are set aside; the money is asked for."""

    total: int
    currency: str
    payment_method: str
    at: datetime


class OrderConfirmed(Event, kw_only=True):
    """Goods and money are sure; the delivery is asked for."""

    site: str
    deliver_to: Personal
    lines: tuple[GoodsLine, ...]
    at: datetime


class CancellationRequested(Event, kw_only=True):
    """It is to be stopped, if delivery has not sent it yet. `cause` and `reason` as in `OrderCancelled`."""

    cause: str
    reason: str
    at: datetime


class CancellationCameTooLate(Event, kw_only=True):
    """It had left when it was to be stopped."""

    at: datetime


class OrderCancelled(Event, kw_only=True):
    """The order is not to be served. `at` (UTC) is when that was accepted.

    `cause` is `asked`, `customer-refused`, `out-of-stock`, `stock-missing`, `payment-declined`, `not-paid-in-time` or
    `not-delivered-in-time`; `reason` says more. What was sold and is not any more is repeated: lines, where, and how.
    """

    reason: str
    at: datetime
    cause: str = "asked"
    site: str = ""
    channel: str = ""
    currency: str = ""
    lines: tuple[OrderLine, ...] = ()


class ReservationNoLongerNeeded(Event, kw_only=True):
    """What is set aside for it at `site` can go."""

    site: str
    at: datetime


class PaymentNoLongerNeeded(Event, kw_only=True):
    """The money that was set aside can go."""

    at: datetime


class OrderDispatched(Event, kw_only=True):
    """It has left the site."""

    site: str
    at: datetime


class OrderPaid(Event, kw_only=True):
    """The money has been taken."""

    amount: int
    currency: str
    at: datetime


class OrderDelivered(Event, kw_only=True):
    """The customer has it: the order is complete."""

    customer_id: str
    total: int
    currency: str
    at: datetime


class DeliveryRecalled(Event, kw_only=True):
    """It was not delivered in time and is called back."""

    reason: str
    at: datetime


class OrderReturned(Event, kw_only=True):
    """It came back undelivered; the goods go to the shelf again."""

    site: str
    lines: tuple[GoodsLine, ...]
    reason: str
    at: datetime


class RefundOwed(Event, kw_only=True):
    """What was taken for these lines, and not paid back before, is owed to the customer."""

    lines: tuple[RefundableLine, ...]
    reason: str
    at: datetime


class OrderRefunded(Event, kw_only=True):
    """`amount`, which is what the lines add up to, was paid back. `refund` counts from 1. `channel` is the order's."""

    refund: int
    site: str
    currency: str
    amount: int
    lines: tuple[RefundedLine, ...]
    at: datetime
    channel: str = ""


class PaymentFailed(Event, kw_only=True):
    """The provider did not do what was asked for: `step` is `capture`, `void` or `refund`. Somebody has to look.

    `refund` is the number of the refund, 0 for the other steps.
    """

    step: str
    refund: int
    reason: str
    at: datetime
