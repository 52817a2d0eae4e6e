"""What happened to a product. Each event carries the whole row after it, so the last one says all.

WARNING: these names and fields are stored for ever. Add fields with defaults; never rename, retype or reuse one.
Fields have no limits here: limits are rules for what is asked, and what was recorded once must always be readable.
"""

from msgspec import Struct

from common.messages import Event


class Product(Struct, frozen=True, kw_only=True, gc=False):
    """A product as it stands. `price` is in minor units of `currency`."""

    product_id: str
    sku: str
    name: str
    department: str
    price: int
    currency: str
    description: str
    discontinued: bool


class ProductAdded(Event):
    """It is in the catalogue and can be bought."""

    product: Product


class PriceChanged(Event):
    """It has another price, in the same currency."""

    product: Product


class ProductDescribed(Event):
    """It is described in other words."""

    product: Product


class ProductDiscontinued(Event):
    """It is sold no more."""

    product: Product
