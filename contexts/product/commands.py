"""What may be asked of a product."""

from typing import Annotated

from msgspec import Meta

from common.messages import Command, Currency, Id, LongText, Text

Price = Annotated[int, Meta(ge=1, le=10**12, description="minor units of the currency, such as cents")]

ROLES = {"catalogue"}


class AddProduct(
    Command,
    key="product_id",
    post="/products",
    roles=ROLES,
    example={
        "sku": "bananas",
        "name": "Bananas",
        "department": "PRODUCE",
        "price": 129,
        "currency": "USD",
        "description": "Sold by the pound",
    },
):
    """Take a product into the catalogue. Without a product id, one is derived from the command's own id.

    Refused with `product.already-added` when the id is taken, `product.sku-taken` when the SKU is.
    """

    product_id: Id
    sku: Id
    name: Text
    department: Text
    price: Price
    currency: Currency
    description: LongText = ""


class ChangePrice(Command, key="product_id", post="/products/{product_id}/price", roles=ROLES, example={"price": 119}):
    """Sell it at another price from now on, in the same currency. Orders placed before keep theirs."""

    product_id: Id
    price: Price


class DescribeProduct(
    Command,
    key="product_id",
    post="/products/{product_id}/describe",
    roles=ROLES,
    example={"name": "Bananas, yellow", "description": "Ripe today"},
):
    """Describe it in other words. What is not stated stays as it is."""

    product_id: Id
    name: Text | None = None
    department: Text | None = None
    description: LongText | None = None


class DiscontinueProduct(Command, key="product_id", post="/products/{product_id}/discontinue", roles=ROLES, example={}):
    """Sell it no more. Its SKU stays taken. Asking again changes nothing."""

    product_id: Id
