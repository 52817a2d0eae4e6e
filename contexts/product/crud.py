"""How each command changes a product's row: plain CRUD, recorded all the same.

Choose this where a change is accepted for its own sake: the command holds the new values, the row takes them, and the
few rules look at nothing but the two. Choose a decider (see contexts/order) where what may happen depends on what
happened before, where one wish leads to different facts, or where others act on the kind of change and not only on the
result. Here nobody does: whoever follows products wants the product as it stands now.

Commands, receipts, history and read models are the same for both; only this file is shorter than any decider.
"""

from msgspec.structs import replace

from common.context import Claim, Known
from common.messages import Rejected
from contexts.product.commands import AddProduct, ChangePrice, DescribeProduct, DiscontinueProduct
from contexts.product.events import Product

ProductCommand = AddProduct | ChangePrice | DescribeProduct | DiscontinueProduct

SKU_TAKEN = "product.sku-taken"


def apply(command: ProductCommand, row: Product | None) -> Product:
    """The row after the command. Raises `Rejected` when a rule says no."""
    if isinstance(command, AddProduct):
        return added(command, row)
    if row is None:
        raise Rejected("product.unknown", f"there is no product {command.product_id}")
    if isinstance(command, DiscontinueProduct):
        return replace(row, discontinued=True)
    if row.discontinued:
        raise Rejected("product.discontinued", f"product {command.product_id} is discontinued and changes no more")
    if isinstance(command, ChangePrice):
        return replace(row, price=command.price)
    return described(command, row)


def added(command: AddProduct, row: Product | None) -> Product:
    if row is not None:
        raise Rejected("product.already-added", f"product {command.product_id} is in the catalogue already")
    return Product(
        product_id=command.product_id,
        sku=command.sku,
        name=command.name,
        department=command.department,
        price=command.price,
        currency=command.currency,
        description=command.description,
        discontinued=False,
    )


def described(command: DescribeProduct, row: Product) -> Product:
    stated = {"name": command.name, "department": command.department, "description": command.description}
    return replace(row, **{field: text for field, text in stated.items() if text is not None})


def claims(row: Product) -> frozenset[Claim]:
    """A product holds its SKU for ever: what an old order names must never come to mean something else."""
    return frozenset({Claim("sku", row.sku)})


def may_claim(command: ProductCommand, known: Known) -> tuple[Claim, ...]:
    """Only a new product claims anything: no other command changes a SKU."""
    return (Claim("sku", command.sku),) if isinstance(command, AddProduct) else ()
