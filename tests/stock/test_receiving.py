"""What comes in, and who may say when."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from contexts.stock.commands import Goods, ReceiveStock, TakeBackReturn
from contexts.stock.decider import MOST_ON_HAND
from contexts.stock.events import StockReceived
from tests.scenario import NOW, given, known
from tests.stock import SITE, WAREHOUSE, lines, received, reserve, reserved, wanted

LAST_YEAR = datetime(2025, 11, 27, 18, 30, tzinfo=UTC)
FULL = StockReceived(lines=lines(bread=MOST_ON_HAND - 1), at=NOW)


def test_what_is_received_is_on_hand() -> None:
    given().when(ReceiveStock(SITE, wanted(bread=2)), WAREHOUSE).then(received(bread=2))
    given(received(bread=2), received(bread=3)).when(reserve("o1", bread=5)).then(reserved("o1", bread=5))


def test_a_product_that_comes_in_on_two_lines_is_recorded_on_one() -> None:
    twice = Goods("bread", 1), Goods("milk", 1), Goods("bread", 2)
    given().when(ReceiveStock(SITE, twice), WAREHOUSE).then(received(bread=3, milk=1))


def test_a_trusted_channel_states_when_it_was_and_it_is_kept_in_utc() -> None:
    in_vienna = LAST_YEAR.astimezone(timezone(timedelta(hours=1)))
    told = known("warehouse", "trusted-channel")
    given().when(ReceiveStock(SITE, wanted(bread=2), in_vienna), told).then(
        StockReceived(lines=lines(bread=2), at=LAST_YEAR)
    )


def test_a_warehouse_may_not_state_when_it_was() -> None:
    given().when(ReceiveStock(SITE, wanted(bread=2), LAST_YEAR), WAREHOUSE).then_rejected(
        "stock.not-yours-to-state", field="at"
    )


@pytest.mark.parametrize("at", [datetime(1999, 12, 31, 23, 59, tzinfo=UTC), NOW + timedelta(days=1, seconds=1)])
def test_a_time_before_the_century_or_after_tomorrow_is_refused(at: datetime) -> None:
    told = known("trusted-channel")
    given().when(ReceiveStock(SITE, wanted(bread=2), at), told).then_rejected("stock.time-out-of-range")


def test_there_is_a_most_of_each_product_that_can_be_on_hand() -> None:
    given(FULL).when(ReceiveStock(SITE, wanted(milk=1, bread=1)), WAREHOUSE).then(received(milk=1, bread=1))
    given(FULL).when(ReceiveStock(SITE, wanted(milk=1, bread=2)), WAREHOUSE).then_rejected(
        "stock.too-much", sku="bread"
    )
    given(FULL).when(TakeBackReturn(SITE, "o1", wanted(bread=2), NOW)).then_rejected("stock.too-much", sku="bread")
