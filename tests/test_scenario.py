"""The language of the rule tests can say no, and then says why."""

import pytest

from common.messages import Event
from contexts.order.commands import CancelOrder
from contexts.order.events import OrderCancelled
from tests.scenario import NOW, given


class Unheard(Event):
    pass


def test_a_story_that_comes_true_is_quiet() -> None:
    given().when(CancelOrder("o1", "late")).then_rejected("order.unknown")


def test_a_story_that_does_not_come_true_is_told_whole() -> None:
    with pytest.raises(AssertionError) as failure:
        given(Unheard()).when(CancelOrder("o1", "late")).then(OrderCancelled(reason="late", at=NOW))
    told = str(failure.value)
    assert "given\n  Unheard()" in told
    assert "when\n  CancelOrder(order_id='o1', reason='late')" in told
    assert "then\n  OrderCancelled(reason='late'" in told
    assert "but it was\n  rejected order.unknown" in told


def test_another_code_another_detail_or_an_event_is_not_the_rejection_meant() -> None:
    outcome = given().when(CancelOrder("o1", "late"))
    with pytest.raises(AssertionError):
        outcome.then_rejected("order.sku-twice")
    with pytest.raises(AssertionError):
        outcome.then_rejected("order.unknown", sku="s1")
    with pytest.raises(AssertionError):
        outcome.then()
