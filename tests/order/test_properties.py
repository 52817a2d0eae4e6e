"""What holds for every order, whatever its lines."""

import hypothesis.strategies as st
from hypothesis import event, given

from common.context import Known
from common.messages import Rejected
from contexts.order.commands import CancelOrder, RequestedLine
from contexts.order.decider import decide
from contexts.order.placing import TRUSTED
from contexts.order.price_list import MAX_AMOUNT, ListedPrice
from contexts.order.state import Order, evolve
from tests.order import STOREFRONT, TILL, TWO_BANANAS, order
from tests.scenario import NOW
from tests.strategies import messages

LINES = st.lists(messages(RequestedLine), min_size=1, max_size=6, unique_by=lambda line: line.sku)
PLAIN_LINES = st.lists(
    messages(RequestedLine, quantity=st.integers(1, 1_000_000), amount=st.none(), department=st.none()),
    min_size=1,
    max_size=6,
    unique_by=lambda line: line.sku,
)
OTHER_ROLES = st.frozensets(st.sampled_from(["storefront", "operator", "catalogue", "reaction"]))


def listed(line: RequestedLine, price: int) -> ListedPrice:
    return ListedPrice(
        sku=line.sku, product_id=line.sku, price=price, currency="USD", department="LISTED", discontinued=False
    )


def price_list(data: st.DataObject, lines: list[RequestedLine]) -> dict[str, ListedPrice]:
    """A list that has every line, mostly at the price that the shopper saw."""
    prices = st.integers(1, 10**6)
    return {line.sku: listed(line, line.unit_price or data.draw(prices)) for line in lines}


@given(st.data(), LINES)
def test_an_orders_total_is_the_sum_of_its_lines_as_stated_or_as_listed(
    data: st.DataObject, lines: list[RequestedLine]
) -> None:
    prices = price_list(data, lines)
    amounts = [prices[line.sku].price * line.quantity if line.amount is None else line.amount for line in lines]
    try:
        (placed,) = decide(order(*lines), Order(), Known(NOW, "till", frozenset({TRUSTED}), prices))
    except Rejected as rejected:
        assert rejected.code in ("order.amount-too-large", "order.price-changed")
        assert rejected.code == "order.price-changed" or max(*amounts, sum(amounts)) > MAX_AMOUNT
        return
    after = evolve(Order(), placed)
    assert [line.amount for line in after.lines] == amounts
    assert sum(line.amount for line in after.lines) == sum(amounts) <= MAX_AMOUNT


@given(st.data(), st.one_of(LINES, PLAIN_LINES), OTHER_ROLES)
def test_no_amount_comes_in_but_from_a_trusted_channel(
    data: st.DataObject, lines: list[RequestedLine], roles: frozenset[str]
) -> None:
    prices = price_list(data, lines)
    try:
        (placed,) = decide(order(*lines), Order(), Known(NOW, "somebody", roles, prices))
    except Rejected as rejected:
        event(rejected.code)
        return
    event("placed")
    assert all((line.amount, line.department) == (None, None) for line in lines)
    sold = evolve(Order(), placed).lines
    assert [line.amount for line in sold] == [prices[line.sku].price * line.quantity for line in lines]
    assert {line.department for line in sold} == {"LISTED"}


@given(st.sampled_from([STOREFRONT, TILL]), st.text(min_size=1), st.text(min_size=1))
def test_asking_twice_to_cancel_changes_nothing_the_second_time(told: Known, first: str, second: str) -> None:
    (placed,) = decide(order(TWO_BANANAS), Order(), told)
    (cancelled,) = decide(CancelOrder("o1", first), evolve(Order(), placed), told)
    after = evolve(evolve(Order(), placed), cancelled)
    assert decide(CancelOrder("o1", second), after, told) == []
