"""What makes an order, and what does not."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from msgspec.structs import replace

from common.context import Known
from contexts.order.commands import RequestedLine
from contexts.order.events import OrderCancelled, OrderLine
from contexts.order.price_list import MAX_AMOUNT
from tests.order import (
    BANANAS,
    LAST_YEAR,
    STOREFRONT,
    TILL,
    TWO_BANANAS,
    TWO_BANANAS_SOLD,
    order,
    placed,
)
from tests.scenario import NOW, given, known

MILK_AT_THE_TILL = RequestedLine("milk", 3, amount=1000, department="DAIRY")
MILK_SOLD = OrderLine(sku="milk", department="DAIRY", quantity=3, amount=1000)


def test_the_price_list_decides_amount_and_department() -> None:
    given().when(order(TWO_BANANAS), STOREFRONT).then(placed(TWO_BANANAS_SOLD))


def test_an_order_has_every_line_it_was_asked_for_in_the_same_order() -> None:
    bread = OrderLine(sku="bread", department="BAKERY", quantity=1, amount=250, unit_price=250)
    given().when(order(RequestedLine("bread", 1), TWO_BANANAS), STOREFRONT).then(placed(bread, TWO_BANANAS_SOLD))


def test_an_order_is_placed_once() -> None:
    given(placed(TWO_BANANAS_SOLD)).when(order(TWO_BANANAS), STOREFRONT).then_rejected("order.already-placed")


def test_a_cancelled_order_is_not_placed_again() -> None:
    cancelled = OrderCancelled(reason="too late", at=NOW)
    given(placed(TWO_BANANAS_SOLD), cancelled).when(order(TWO_BANANAS), STOREFRONT).then_rejected(
        "order.already-placed"
    )


def test_the_price_that_the_shopper_saw_may_be_stated() -> None:
    given().when(order(RequestedLine("bananas", 2, unit_price=129)), STOREFRONT).then(placed(TWO_BANANAS_SOLD))


def test_a_shopper_who_saw_another_price_is_told_the_present_one() -> None:
    given().when(order(RequestedLine("bananas", 2, unit_price=99)), STOREFRONT).then_rejected(
        "order.price-changed", sku="bananas", price=129, currency="USD"
    )


def test_what_is_on_no_list_is_not_sold() -> None:
    given().when(order(RequestedLine("milk", 1)), STOREFRONT).then_rejected("order.unknown-sku", sku="milk")


def test_what_is_discontinued_is_not_sold() -> None:
    given().when(order(RequestedLine("cocoa", 1)), STOREFRONT).then_rejected("order.discontinued", sku="cocoa")


def test_an_order_is_in_the_currency_of_the_list() -> None:
    given().when(order(TWO_BANANAS, currency="EUR"), STOREFRONT).then_rejected("order.wrong-currency", currency="USD")


@pytest.mark.parametrize("told", [STOREFRONT, TILL])
def test_a_sku_is_on_one_line_only(told: Known) -> None:
    given().when(order(TWO_BANANAS, TWO_BANANAS), told).then_rejected("order.sku-twice", sku="bananas")


def test_a_shopper_orders_at_least_one_of_each() -> None:
    given().when(order(RequestedLine("bananas", 0)), STOREFRONT).then_rejected("order.quantity-missing", sku="bananas")


@pytest.mark.parametrize(
    ("line", "field"),
    [
        (RequestedLine("bananas", 2, amount=1), "lines[1].amount"),
        (RequestedLine("bananas", 2, amount=0), "lines[1].amount"),
        (RequestedLine("bananas", 2, department="FREE"), "lines[1].department"),
    ],
)
def test_a_storefront_may_not_state_what_is_the_lists_to_say(line: RequestedLine, field: str) -> None:
    given().when(order(RequestedLine("bread", 1), line), STOREFRONT).then_rejected(
        "order.not-yours-to-state", field=field
    )


def test_a_storefront_may_not_state_when_it_was_sold() -> None:
    given().when(order(TWO_BANANAS, at=LAST_YEAR), STOREFRONT).then_rejected("order.not-yours-to-state", field="at")


def test_a_trusted_channel_states_amount_and_department_of_what_is_on_no_list() -> None:
    given().when(order(MILK_AT_THE_TILL), TILL).then(placed(MILK_SOLD))


def test_a_trusted_channel_may_leave_the_department_to_the_list() -> None:
    sold = OrderLine(sku="bananas", department="PRODUCE", quantity=2, amount=7)
    given().when(order(RequestedLine("bananas", 2, amount=7)), TILL).then(placed(sold))


def test_without_list_and_statement_the_department_is_unknown() -> None:
    sold = OrderLine(sku="milk", department="unknown", quantity=1, amount=7)
    given().when(order(RequestedLine("milk", 1, amount=7)), TILL).then(placed(sold))


def test_a_trusted_channel_may_leave_the_amount_to_the_list() -> None:
    sold = OrderLine(sku="bananas", department="SNACKS", quantity=2, amount=258, unit_price=129)
    given().when(order(RequestedLine("bananas", 2, department="SNACKS")), TILL).then(placed(sold))


def test_a_trusted_channel_sells_what_is_discontinued_at_the_amount_it_states() -> None:
    sold = OrderLine(sku="cocoa", department="GROCERY", quantity=1, amount=99)
    given().when(order(RequestedLine("cocoa", 1, amount=99)), TILL).then(placed(sold))


def test_a_trusted_channel_may_sell_nothing_for_something_and_something_for_nothing() -> None:
    deposit = OrderLine(sku="deposit", department="KIOSK", quantity=0, amount=25)
    gift = OrderLine(sku="gift", department="KIOSK", quantity=1, amount=0)
    lines = RequestedLine("deposit", 0, 25, "KIOSK"), RequestedLine("gift", 1, 0, "KIOSK")
    given().when(order(*lines), TILL).then(placed(deposit, gift))


def test_a_trusted_channel_states_when_it_was_sold_and_it_is_kept_in_utc() -> None:
    in_vienna = LAST_YEAR.astimezone(timezone(timedelta(hours=1)))
    given().when(order(MILK_AT_THE_TILL, at=in_vienna), TILL).then(placed(MILK_SOLD, at=LAST_YEAR))


@pytest.mark.parametrize("at", [datetime(2000, 1, 1, tzinfo=UTC), NOW + timedelta(days=1)])
def test_a_sale_may_be_as_old_as_the_century_and_a_day_ahead(at: datetime) -> None:
    given().when(order(MILK_AT_THE_TILL, at=at), TILL).then(placed(MILK_SOLD, at=at))


@pytest.mark.parametrize(
    "at",
    [
        datetime(1999, 12, 31, 23, 59, 59, tzinfo=UTC),
        NOW + timedelta(days=1, microseconds=1),
        datetime.min.replace(tzinfo=timezone(timedelta(hours=14))),
        datetime.max.replace(tzinfo=timezone(timedelta(hours=-14))),
    ],
)
def test_a_sale_outside_of_that_is_refused(at: datetime) -> None:
    given().when(order(MILK_AT_THE_TILL, at=at), TILL).then_rejected("order.time-out-of-range")


def test_an_amount_stays_within_the_bounds_of_money_after_multiplication() -> None:
    dear = {"bananas": replace(BANANAS, price=10**9)}
    told = known("storefront", reference=dear)
    given().when(order(RequestedLine("bananas", 1000)), told).then(
        placed(OrderLine(sku="bananas", department="PRODUCE", quantity=1000, amount=MAX_AMOUNT, unit_price=10**9))
    )
    given().when(order(RequestedLine("bananas", 1001)), told).then_rejected("order.amount-too-large", sku="bananas")


def test_the_total_stays_within_the_bounds_of_money() -> None:
    most = RequestedLine("milk", 1, MAX_AMOUNT, "DAIRY")
    given().when(order(most, RequestedLine("gum", 1, 1, "KIOSK")), TILL).then_rejected("order.amount-too-large")
