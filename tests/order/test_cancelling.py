"""When an order can be stopped."""

from contexts.order.commands import CancelOrder
from contexts.order.events import OrderCancelled
from tests.order import TWO_BANANAS_SOLD, placed
from tests.scenario import NOW, given

CANCEL = CancelOrder("o1", "changed my mind")
CANCELLED = OrderCancelled(reason="changed my mind", at=NOW)


def test_a_placed_order_can_be_cancelled() -> None:
    given(placed(TWO_BANANAS_SOLD)).when(CANCEL).then(CANCELLED)


def test_cancelling_twice_changes_nothing() -> None:
    given(placed(TWO_BANANAS_SOLD), CANCELLED).when(CancelOrder("o1", "really")).then()


def test_an_order_that_nobody_placed_cannot_be_cancelled() -> None:
    given().when(CANCEL).then_rejected("order.unknown")
