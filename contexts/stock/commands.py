"""What may be asked of the stock at a site."""

from typing import Annotated

from msgspec import Meta, Struct

from common.messages import Command, Id, Instant

Pieces = Annotated[int, Meta(ge=1, le=10**9, description="pieces, or what the product is measured in")]


class Goods(Struct, frozen=True, forbid_unknown_fields=True, gc=False):
    """So much of a product."""

    sku: Id
    quantity: Pieces


Lines = Annotated[tuple[Goods, ...], Meta(max_length=500)]


class ReceiveStock(
    Command,
    key="site",
    post="/stock/{site}/receive",
    roles={"warehouse"},
    example={"lines": [{"sku": "bananas", "quantity": 40}]},
):
    """Goods have come in. A large delivery is received in chunks of at most 500 lines.

    Role `trusted-channel` may also state `at`, when that was; everybody else is refused with
    `stock.not-yours-to-state`.
    """

    site: Id
    lines: Annotated[tuple[Goods, ...], Meta(min_length=1, max_length=500)]
    at: Instant | None = None


class CountStock(
    Command, key="site", post="/stock/{site}/count", roles={"warehouse"}, example={"sku": "bananas", "counted": 38}
):
    """So much was counted on the shelf. When that is less than what is reserved, the latest reservations are broken."""

    site: Id
    sku: Id
    counted: Annotated[int, Meta(ge=0, le=10**9)]


class ReserveStock(Command, key="site"):
    """Set these goods aside for an order: all of them or none. An order without goods reserves nothing, and may."""

    site: Id
    order_id: Id
    lines: Lines
    at: Instant


class ReleaseReservation(Command, key="site"):
    """The order does not need its goods any more."""

    site: Id
    order_id: Id
    at: Instant


class ShipReservation(Command, key="site"):
    """The order's goods have left the site."""

    site: Id
    order_id: Id
    at: Instant


class TakeBackReturn(Command, key="site"):
    """The order's goods have come back, to be sold again."""

    site: Id
    order_id: Id
    lines: Lines
    at: Instant
