"""What happened to the stock at a site.

WARNING: these names and fields are stored for ever. Add fields with defaults; never rename, retype or reuse one.
Fields have no limits here: limits are rules for what is asked, and what was recorded once must always be readable.

`at` (UTC) is the time of business: that of the order for what is done for an order. `lines` name each product once.
"""

from datetime import datetime

from msgspec import Struct

from common.messages import Event


class GoodsLine(Struct, frozen=True, gc=False):
    """So much of a product."""

    sku: str
    quantity: int


class Shortage(Struct, frozen=True, gc=False):
    """What was wanted of a product, and what was there that nobody else had reserved."""

    sku: str
    wanted: int
    available: int


class StockReceived(Event, kw_only=True):
    """Goods came in."""

    lines: tuple[GoodsLine, ...]
    at: datetime


class StockCounted(Event, kw_only=True):
    """`counted` of a product are on the shelf, where the books had `expected`."""

    sku: str
    counted: int
    expected: int
    at: datetime


class StockReserved(Event, kw_only=True):
    """All that the order needs is set aside for it."""

    order_id: str
    lines: tuple[GoodsLine, ...]
    at: datetime


class ReservationRefused(Event, kw_only=True):
    """Nothing is set aside for the order, since not all of it is there."""

    order_id: str
    short: tuple[Shortage, ...]
    at: datetime


class ReservationReleased(Event, kw_only=True):
    """What was set aside for the order is free again."""

    order_id: str
    lines: tuple[GoodsLine, ...]
    at: datetime


class ReservationShipped(Event, kw_only=True):
    """What was set aside for the order has left the site."""

    order_id: str
    lines: tuple[GoodsLine, ...]
    at: datetime


class ReservationBroken(Event, kw_only=True):
    """A count of `sku` found less than was reserved: nothing is set aside for this order any more."""

    order_id: str
    sku: str
    lines: tuple[GoodsLine, ...]
    at: datetime


class ReturnTakenBack(Event, kw_only=True):
    """The order's goods came back and can be sold again."""

    order_id: str
    lines: tuple[GoodsLine, ...]
    at: datetime
