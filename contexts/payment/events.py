"""What happened to the payment of an order.

WARNING: these names and fields are stored for ever. Add fields with defaults; never rename, retype or reuse one.
Fields have no limits here: limits are rules for what is asked, and what was recorded once must always be readable.

What is requested is asked of the provider, and each such event holds all that the provider is told. `reference` is the
provider's name for what it did. `at` (UTC) is the time of business. Amounts are in minor units of `currency`.
"""

from datetime import datetime

from msgspec import Struct

from common.messages import Event


class RefundedLine(Struct, frozen=True, gc=False):
    """What of a line is paid back."""

    sku: str
    quantity: int
    amount: int


class AuthorisationRequested(Event, kw_only=True):
    """The provider is asked to set the money aside."""

    amount: int
    currency: str
    method: str
    at: datetime


class PaymentAuthorised(Event, kw_only=True):
    """The money is set aside. An amount of 0 has no `reference`: no provider was asked."""

    amount: int
    reference: str
    at: datetime


class PaymentDeclined(Event, kw_only=True):
    """The provider does not give the money."""

    reason: str
    at: datetime


class CaptureRequested(Event, kw_only=True):
    """The provider is asked for the money. `attempt` counts from 1: it is asked again when that has failed."""

    amount: int
    currency: str
    method: str
    authorisation: str
    at: datetime
    attempt: int = 1


class PaymentCaptured(Event, kw_only=True):
    """The money is here."""

    amount: int
    reference: str
    at: datetime


class CaptureFailed(Event, kw_only=True):
    """The money did not come, although it had been set aside."""

    reason: str
    at: datetime


class VoidRequested(Event, kw_only=True):
    """The provider is asked to let go of the money that it set aside.

    Without `authorisation` it is not asked yet: whether it sets money aside is not known. It will be asked then.
    """

    amount: int
    currency: str
    method: str
    authorisation: str
    at: datetime


class PaymentVoided(Event, kw_only=True):
    """The money is the customer's again."""

    amount: int
    at: datetime


class VoidFailed(Event, kw_only=True):
    """The provider did not let go of the money; it will when the authorisation ends by itself."""

    reason: str
    at: datetime


class RefundRequested(Event, kw_only=True):
    """The provider is asked to pay back `amount`, which is what the lines add up to. `refund` counts from 1."""

    refund: int
    lines: tuple[RefundedLine, ...]
    amount: int
    currency: str
    method: str
    capture: str
    reason: str
    at: datetime


class PaymentRefunded(Event, kw_only=True):
    """The money was paid back."""

    refund: int
    lines: tuple[RefundedLine, ...]
    amount: int
    reference: str
    at: datetime


class RefundFailed(Event, kw_only=True):
    """The money was not paid back; it may be asked again."""

    refund: int
    amount: int
    reason: str
    at: datetime
