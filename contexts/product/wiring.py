"""product, as the shells run it."""

from common.context import crud
from contexts.product.commands import AddProduct, ChangePrice, DescribeProduct, DiscontinueProduct
from contexts.product.crud import SKU_TAKEN, apply, claims, may_claim
from contexts.product.events import PriceChanged, Product, ProductAdded, ProductDescribed, ProductDiscontinued

CONTEXT = crud(
    name="product",
    row=Product,
    apply=apply,
    records={
        AddProduct: ProductAdded,
        ChangePrice: PriceChanged,
        DescribeProduct: ProductDescribed,
        DiscontinueProduct: ProductDiscontinued,
    },
    claims=claims,
    may_claim=may_claim,
    claimed=SKU_TAKEN,
)
