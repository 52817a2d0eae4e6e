"""What happened elsewhere and matters here. The only module of order that knows another context.

Products: every change of one keeps order's price list current.
"""

from common.readmodel import Key, ReadModel
from contexts.order.price_list import ListedPrice
from contexts.product.events import PriceChanged, ProductAdded, ProductDescribed, ProductDiscontinued

ProductEvent = ProductAdded | PriceChanged | ProductDescribed | ProductDiscontinued


def keys(stream: str, event: ProductEvent) -> list[Key]:
    return [(event.product.sku,)]


def apply(row: ListedPrice | None, stream: str, event: ProductEvent) -> ListedPrice:
    product = event.product
    return ListedPrice(
        sku=product.sku,
        product_id=product.product_id,
        price=product.price,
        currency=product.currency,
        department=product.department,
        discontinued=product.discontinued,
    )


PRICE_LIST = ReadModel(
    name="price_list",
    row=ListedPrice,
    key=("sku",),
    follows={"product": (ProductAdded, PriceChanged, ProductDescribed, ProductDiscontinued)},
    keys=keys,
    apply=apply,
)
