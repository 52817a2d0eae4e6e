"""order keeps a price list of its own, from what happens to products."""

from msgspec.structs import replace

from contexts.order.commands import CancelOrder, RequestedLine
from contexts.order.price_list import ListedPrice, needs
from contexts.order.process import PRICE_LIST, ProductEvent
from contexts.product.events import PriceChanged, Product, ProductAdded, ProductDescribed, ProductDiscontinued
from contexts.product.wiring import CONTEXT as PRODUCT
from tests.order import BANANAS, order

SOLD = Product(
    product_id="p1",
    sku="bananas",
    name="Bananas",
    department="PRODUCE",
    price=129,
    currency="USD",
    description="",
    discontinued=False,
)


def listed(*events: ProductEvent) -> ListedPrice | None:
    row = None
    for event in events:
        assert list(PRICE_LIST.keys("p1", event)) == [("bananas",)]
        row = PRICE_LIST.apply(row, "p1", event)
    return row


def test_a_product_is_listed_once_it_is_added() -> None:
    assert listed(ProductAdded(SOLD)) == BANANAS


def test_the_list_follows_every_change_of_a_product() -> None:
    assert set(PRICE_LIST.follows["product"]) == set(PRODUCT.events)
    dearer = replace(SOLD, price=140)
    moved = replace(dearer, department="FRUIT")
    gone = replace(moved, discontinued=True)
    history = ProductAdded(SOLD), PriceChanged(dearer), ProductDescribed(moved), ProductDiscontinued(gone)
    assert listed(*history[:2]) == replace(BANANAS, price=140)
    assert listed(*history[:3]) == replace(BANANAS, price=140, department="FRUIT")
    assert listed(*history) == replace(BANANAS, price=140, department="FRUIT", discontinued=True)


def test_only_lines_that_leave_something_to_the_list_need_it() -> None:
    lines = (
        RequestedLine("bananas", 1),
        RequestedLine("bread", 1, amount=1),
        RequestedLine("milk", 1, department="DAIRY"),
        RequestedLine("gum", 1, amount=1, department="KIOSK"),
    )
    assert needs(order(*lines)) == ("bananas", "bread", "milk")
    assert needs(CancelOrder("o1", "late")) == ()
