"""What may be asked of an order."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from common.messages import Command, Currency, Id, Instant, Money, Text

Quantity = Annotated[int, Meta(ge=0, le=1_000_000, description="pieces, or what the product is measured in")]


class Address(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """Where to and to whom: personal data, sealed before it is stored."""

    name: Text
    street: Text
    city: Text
    postal_code: Annotated[str, Meta(min_length=1, max_length=20)]
    country: Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)", description="ISO 3166-1 alpha-2 code")]


class PaidBack(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """What of a line was paid back."""

    sku: Id
    quantity: Quantity
    amount: Money


class RequestedLine(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """So much of a product. The price list decides what it costs; only a trusted channel states `amount`.

    `unit_price` is the price that the shopper saw; if the list says another, the order is refused with the present one.
    """

    sku: Id
    quantity: Quantity
    amount: Money | None = None
    department: Text | None = None
    unit_price: Money | None = None


class PlaceOrder(
    Command,
    key="order_id",
    post="/orders",
    roles={"storefront", "operator", "trusted-channel"},
    person="customer_id",
    example={
        "customer_id": "2337",
        "site": "374",
        "deliver_to": {
            "name": "Ada Miller",
            "street": "12 Elm Street",
            "city": "Springfield",
            "postal_code": "45501",
            "country": "US",
        },
        "payment_method": "pm_ok",
        "currency": "USD",
        "lines": [{"sku": "bananas", "quantity": 2, "unit_price": 129}],
    },
):
    """Order these lines from this site. Without an order id, one is derived from the command's own id.

    `payment_method` is a token of the payment provider. Role `trusted-channel` may also state amounts, departments,
    quantity 0 and `at`, the time of the sale; everybody else is refused with `order.not-yours-to-state`.
    """

    order_id: Id
    customer_id: Id
    site: Id
    deliver_to: Address
    payment_method: Id
    currency: Currency
    lines: Annotated[tuple[RequestedLine, ...], Meta(min_length=1, max_length=500)]
    channel: Text = "web"
    at: Instant | None = None


class CancelOrder(
    Command,
    key="order_id",
    post="/orders/{order_id}/cancel",
    roles={"storefront", "operator"},
    example={"reason": "changed my mind"},
):
    """Ask to stop an order. Asking again changes nothing.

    Once it is confirmed only delivery knows whether it has left: then the answer comes later, as `OrderCancelled` or
    `CancellationCameTooLate`.
    """

    order_id: Id
    reason: Text


class RecordAdmission(Command, key="order_id"):
    """Whether the customer may have this order."""

    order_id: Id
    outcome: Literal["granted", "refused"]
    reason: str
    at: Instant


class RecordReservation(Command, key="order_id"):
    """What became of the goods: all set aside, not enough there, or set aside and then missing at a count."""

    order_id: Id
    outcome: Literal["reserved", "refused", "broken"]
    skus: tuple[Id, ...]
    at: Instant


class RecordPayment(Command, key="order_id"):
    """What became of the money. `step` says what has failed; `refund`, `amount` and `lines` what was paid back."""

    order_id: Id
    outcome: Literal["authorised", "declined", "captured", "refunded", "failed"]
    at: Instant
    step: Literal["", "capture", "void", "refund"] = ""
    reason: str = ""
    refund: int = 0
    amount: Money = 0
    lines: tuple[PaidBack, ...] = ()


class RecordDispatch(Command, key="order_id"):
    """It has left the site."""

    order_id: Id
    at: Instant


class RecordDelivery(Command, key="order_id"):
    """The customer has it, or it will not be sent."""

    order_id: Id
    outcome: Literal["delivered", "cancelled"]
    at: Instant


class RecordReturn(Command, key="order_id"):
    """It has come back, undelivered."""

    order_id: Id
    reason: str
    at: Instant


class ExpireOrder(Command, key="order_id"):
    """A deadline has passed. It may be late, come twice, or mean nothing any more."""

    order_id: Id
    deadline: Literal["payment", "delivery"]
