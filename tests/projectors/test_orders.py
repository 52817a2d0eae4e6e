"""Orders as they can be asked for."""

from datetime import datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from msgspec.structs import replace

from common.messages import Event, Rejected
from common.personal import Personal
from common.store.pages import write_place
from contexts.order.events import (
    CancellationCameTooLate,
    CancellationRequested,
    GoodsLine,
    OrderAdmitted,
    OrderCancelled,
    OrderConfirmed,
    OrderDelivered,
    OrderDispatched,
    OrderLine,
    OrderPaid,
    OrderPlaced,
    OrderRefunded,
    OrderReserved,
    OrderReturned,
    PaymentFailed,
    RefundableLine,
    RefundedLine,
    RefundOwed,
)
from projectors._states import OrderState
from projectors.orders import (
    MODEL,
    QUERIES,
    CustomerOrders,
    CustomerTotals,
    GetOrder,
    ListCustomerOrders,
    ListOrders,
    OrderPage,
    OrderView,
)
from tests.projectors.conftest import NOON, Shelf

WRONG = ["x", "", "0", "ä", "WyJhIiwiYiJd", "W10", "=", "bnVsbA"]
LINES = (
    OrderLine(sku="1", department="PRODUCE", quantity=2, amount=258, unit_price=129),
    OrderLine(sku="2", department="FUEL", quantity=0, amount=0),
)


def placed(customer: str = "c1", site: str = "s1", at: datetime = NOON) -> OrderPlaced:
    return OrderPlaced(
        customer_id=customer,
        site=site,
        deliver_to=Personal(customer, sealed="c2VhbGVk"),
        payment_method="pm_ok",
        currency="USD",
        channel="web",
        at=at,
        lines=LINES,
    )


async def listed(shelf: Shelf, **wanted: Any) -> list[str]:
    page: OrderPage = await shelf.ask(ListOrders(**wanted), QUERIES)
    return [order.order_id for order in page.orders]


async def test_an_order_shows_its_lines_its_sums_and_where_it_is_in_the_record(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("o1", placed()))
    order: OrderView = await shelf.ask(GetOrder("o1"), QUERIES)
    assert (order.state, order.total, order.units, order.lines) == ("placed", 258, 2, LINES)
    assert (order.version, order.position, order.placed_at) == (1, 1, NOON)
    assert await shelf.ask(GetOrder("o2"), QUERIES) is None


async def test_a_cancelled_order_says_when_and_why(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("o1", placed()), ("o1", OrderCancelled(reason="mind changed", at=NOON)))
    order: OrderView = await shelf.ask(GetOrder("o1"), QUERIES)
    assert (order.state, order.cancelled_at, order.cancel_reason) == ("cancelled", NOON, "mind changed")
    assert (order.version, order.position, order.total) == (2, 2, 258)


DELIVER_TO = Personal("c1", sealed="c2VhbGVk")
GOODS = (GoodsLine("1", 2),)
JOURNEY: tuple[tuple[Event, OrderState], ...] = (
    (OrderAdmitted(site="s1", lines=GOODS, at=NOON), "admitted"),
    (OrderReserved(total=258, currency="USD", payment_method="pm_ok", at=NOON), "reserved"),
    (OrderConfirmed(site="s1", deliver_to=DELIVER_TO, lines=GOODS, at=NOON), "confirmed"),
    (CancellationRequested(cause="asked", reason="mind changed", at=NOON), "cancelling"),
    (CancellationCameTooLate(at=NOON), "cancelling"),
    (OrderDispatched(site="s1", at=NOON), "dispatched"),
    (OrderDelivered(customer_id="c1", total=258, currency="USD", at=NOON), "delivered"),
)


async def test_an_order_shows_how_far_it_has_come_and_the_version_of_its_stream(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("o1", placed()))
    for version, (event, state) in enumerate(JOURNEY, 2):
        await shelf.happen(MODEL, ("o1", event))
        order: OrderView = await shelf.ask(GetOrder("o1"), QUERIES)
        assert (order.state, order.version) == (state, version)
    assert (order.dispatched_at, order.delivered_at, order.returned_at) == (NOON, NOON, None)


async def test_an_order_shows_what_was_paid_paid_back_and_failed(shelf: Shelf) -> None:
    back = RefundedLine("1", "PRODUCE", 1, 129)
    await shelf.happen(
        MODEL,
        ("o1", placed()),
        ("o1", OrderPaid(amount=258, currency="USD", at=NOON)),
        ("o1", OrderReturned(site="s1", lines=GOODS, reason="address unknown", at=NOON)),
        ("o1", RefundOwed(lines=(RefundableLine("1", 2, 258),), reason="returned", at=NOON)),
        ("o1", OrderRefunded(refund=1, site="s1", currency="USD", amount=129, lines=(back,), at=NOON)),
        ("o1", PaymentFailed(step="refund", refund=2, reason="card expired", at=NOON)),
    )
    order: OrderView = await shelf.ask(GetOrder("o1"), QUERIES)
    assert (order.state, order.paid, order.refunded) == ("returned", 258, 129)
    assert order.payment_problem == "refund: card expired"
    assert order.version == 6


@pytest.mark.parametrize(("step", "left"), [("capture", None), ("void", "void: card expired")])
async def test_what_was_paid_after_all_is_no_problem_any_more(shelf: Shelf, step: str, left: str | None) -> None:
    failed = PaymentFailed(step=step, refund=0, reason="card expired", at=NOON)
    await shelf.happen(MODEL, ("o1", placed()), ("o1", failed))
    before: OrderView = await shelf.ask(GetOrder("o1"), QUERIES)
    assert before.payment_problem == f"{step}: card expired"
    await shelf.happen(MODEL, ("o1", OrderPaid(amount=258, currency="USD", at=NOON)))
    order: OrderView = await shelf.ask(GetOrder("o1"), QUERIES)
    assert (order.paid, order.payment_problem) == (258, left)


async def test_orders_are_found_by_customer_site_state_and_time(shelf: Shelf) -> None:
    hour = timedelta(hours=1)
    await shelf.happen(
        MODEL,
        ("o1", placed("c1", "s1", NOON)),
        ("o2", placed("c2", "s1", NOON + hour)),
        ("o3", placed("c1", "s2", NOON + 2 * hour)),
        ("o3", OrderCancelled(reason="", at=NOON + 3 * hour)),
    )
    assert await listed(shelf) == ["o3", "o2", "o1"]
    assert await listed(shelf, customer="c1") == ["o3", "o1"]
    assert await listed(shelf, site="s1") == ["o2", "o1"]
    assert await listed(shelf, state="cancelled") == ["o3"]
    assert await listed(shelf, since=NOON + hour, until=NOON + 2 * hour) == ["o2"]
    assert await listed(shelf, customer="c2", site="s2") == []


async def test_pages_of_orders_meet_without_gap_or_repeat(shelf: Shelf) -> None:
    await shelf.happen(MODEL, *((f"o{i:02}", placed(at=NOON + timedelta(minutes=i // 3))) for i in range(20)))
    seen: list[str] = []
    after: str | None = None
    while True:
        page: OrderPage = await shelf.ask(ListOrders(limit=6, after=after), QUERIES)
        seen += [order.order_id for order in page.orders]
        if (after := page.next) is None:
            break
    assert seen == [f"o{i:02}" for i in reversed(range(20))]


@pytest.mark.parametrize("after", WRONG)
async def test_a_wrong_cursor_is_refused(shelf: Shelf, after: str) -> None:
    for query in (ListOrders(after=after), ListCustomerOrders(customer_id="c1", after=after)):
        with pytest.raises(Rejected) as refused:
            await shelf.ask(query, QUERIES)
        assert (refused.value.code, refused.value.message) == (
            "malformed",
            "not where a page has ended - at `$.after`",
        )


@pytest.mark.parametrize(("year", "hours"), [(1, 14), (9999, -14)])
async def test_a_time_that_no_clock_of_ours_can_show_is_refused(shelf: Shelf, year: int, hours: int) -> None:
    month, day, hour = (1, 1, 0) if year == 1 else (12, 31, 23)
    moment = datetime(year, month, day, hour, tzinfo=timezone(timedelta(hours=hours)))
    for query in (ListOrders(since=moment), ListOrders(after=write_place([moment, "o1"]))):
        with pytest.raises(Rejected) as refused:
            await shelf.ask(query, QUERIES)
        assert refused.value.code == "malformed"


async def test_every_state_is_found_alone_and_among_those_of_a_customer(shelf: Shelf) -> None:
    ends: dict[OrderState, tuple[Event, ...]] = {
        "placed": (),
        "delivered": tuple(event for event, _ in JOURNEY),
        "cancelled": (OrderCancelled(reason="", at=NOON),),
        "returned": (
            OrderDispatched(site="s1", at=NOON),
            OrderReturned(site="s1", lines=GOODS, reason="address unknown", at=NOON),
        ),
    }
    ends |= {state: tuple(event for event, _ in JOURNEY[: n + 1]) for n, (_, state) in enumerate(JOURNEY[:-1])}
    assert set(ends) == set(get_args(OrderState))
    for state, events in ends.items():
        await shelf.happen(MODEL, *((state, event) for event in (placed(), *events)))
    for state in ends:
        assert await listed(shelf, state=state) == [state]
        found = await ordered(shelf, state=state)
        assert [order.order_id for order in found.orders] == [state]


async def ordered(shelf: Shelf, customer: str = "c1", **wanted: Any) -> CustomerOrders:
    found: CustomerOrders = await shelf.ask(ListCustomerOrders(customer_id=customer, **wanted), QUERIES)
    return found


async def test_the_orders_of_a_customer_come_with_what_all_of_them_come_to(shelf: Shelf) -> None:
    hour = timedelta(hours=1)
    await shelf.happen(
        MODEL,
        ("o1", placed()),
        ("o1", OrderPaid(amount=258, currency="USD", at=NOON)),
        ("o1", OrderRefunded(refund=1, site="s1", currency="USD", amount=129, lines=(), at=NOON)),
        ("o2", placed(at=NOON + hour)),
        ("o3", placed(at=NOON + 2 * hour)),
        ("o3", OrderCancelled(reason="", at=NOON + 2 * hour)),
        ("o4", replace(placed(at=NOON + 3 * hour), currency="EUR")),
        ("o5", placed("c2")),
    )
    dollars = CustomerTotals("USD", 2, 516, 1, 258, 129, NOON, NOON + 2 * hour)
    euros = CustomerTotals("EUR", 1, 258, 0, 0, 0, NOON + 3 * hour, NOON + 3 * hour)
    found = await ordered(shelf)
    assert (found.totals, [order.order_id for order in found.orders]) == ([euros, dollars], ["o4", "o3", "o2", "o1"])
    await shelf.happen(MODEL, ("o6", placed("c3")), ("o6", OrderCancelled(reason="", at=NOON)))
    assert (await ordered(shelf, "c3")).totals == [CustomerTotals("USD", 0, 0, 1, 0, 0, NOON, NOON)]
    assert await ordered(shelf, "nobody") == CustomerOrders([], [], None)


async def test_pages_of_a_customer_meet_without_gap_or_repeat_and_all_show_the_same_sums(shelf: Shelf) -> None:
    names = [f"o{i:02}" for i in range(20)]
    await shelf.happen(MODEL, *((name, placed(at=NOON + timedelta(hours=i // 3))) for i, name in enumerate(names)))
    await shelf.happen(MODEL, ("other", placed("c2")))
    pages = [await ordered(shelf, limit=6)]
    while pages[-1].next:
        pages.append(await ordered(shelf, limit=6, after=pages[-1].next))
    assert [order.order_id for page in pages for order in page.orders] == names[::-1]
    assert {page.totals[0].orders for page in pages} == {20}
