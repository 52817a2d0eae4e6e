"""The few rules of a product."""

from msgspec.structs import replace

from common.context import Claim
from contexts.product.commands import AddProduct, ChangePrice, DescribeProduct, DiscontinueProduct
from contexts.product.events import PriceChanged, Product, ProductAdded, ProductDescribed, ProductDiscontinued
from contexts.product.wiring import CONTEXT
from tests.scenario import folded, given

ADD = AddProduct("p1", "bananas", "Bananas", "PRODUCE", 129, "USD", "By the pound")
BANANAS = Product(
    product_id="p1",
    sku="bananas",
    name="Bananas",
    department="PRODUCE",
    price=129,
    currency="USD",
    description="By the pound",
    discontinued=False,
)
GONE = replace(BANANAS, discontinued=True)


def test_a_product_is_added_as_it_is_described() -> None:
    given().when(ADD).then(ProductAdded(BANANAS))


def test_a_product_is_added_once() -> None:
    given(ProductAdded(BANANAS)).when(ADD).then_rejected("product.already-added")


def test_a_new_price_leaves_the_rest_as_it_was() -> None:
    given(ProductAdded(BANANAS)).when(ChangePrice("p1", 119)).then(PriceChanged(replace(BANANAS, price=119)))


def test_the_same_price_changes_nothing() -> None:
    given(ProductAdded(BANANAS)).when(ChangePrice("p1", 129)).then()


def test_what_a_description_does_not_state_stays() -> None:
    given(ProductAdded(BANANAS)).when(DescribeProduct("p1", name="Yellow bananas")).then(
        ProductDescribed(replace(BANANAS, name="Yellow bananas"))
    )
    given(ProductAdded(BANANAS)).when(DescribeProduct("p1", department="FRUIT", description="")).then(
        ProductDescribed(replace(BANANAS, department="FRUIT", description=""))
    )


def test_a_product_can_be_discontinued_and_asking_again_changes_nothing() -> None:
    given(ProductAdded(BANANAS)).when(DiscontinueProduct("p1")).then(ProductDiscontinued(GONE))
    given(ProductAdded(BANANAS), ProductDiscontinued(GONE)).when(DiscontinueProduct("p1")).then()


def test_a_discontinued_product_changes_no_more() -> None:
    past = ProductAdded(BANANAS), ProductDiscontinued(GONE)
    given(*past).when(ChangePrice("p1", 1)).then_rejected("product.discontinued")
    given(*past).when(DescribeProduct("p1", name="Plantains")).then_rejected("product.discontinued")
    given(*past).when(ADD).then_rejected("product.already-added")


def test_what_was_never_added_cannot_change() -> None:
    for command in (ChangePrice("p1", 1), DescribeProduct("p1"), DiscontinueProduct("p1")):
        given().when(command).then_rejected("product.unknown")


def test_a_product_holds_its_sku_from_the_first_day_for_ever() -> None:
    assert CONTEXT.claims(CONTEXT.initial) == set()
    held = {Claim("sku", "bananas")}
    assert CONTEXT.claims(folded(CONTEXT, [ProductAdded(BANANAS)])) == held
    assert CONTEXT.claims(folded(CONTEXT, [ProductAdded(BANANAS), ProductDiscontinued(GONE)])) == held
    assert CONTEXT.claimed == "product.sku-taken"
