"""Deliveries as they can be asked for."""

from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest

from common.messages import Event, Rejected
from common.personal import Personal
from contexts.delivery.events import (
    DeliveryAttemptFailed,
    DeliveryCancelled,
    DeliveryConfirmed,
    DeliveryDispatched,
    DeliveryReturned,
    DeliveryScheduled,
    ParcelLine,
)
from projectors.deliveries import MODEL, QUERIES, DeliveryPage, DeliveryView, GetDelivery, ListDeliveries
from tests.projectors.conftest import NOON, Shelf

HOUR = timedelta(hours=1)
LINES = (ParcelLine("1", 2), ParcelLine("2", 1))
DISPATCHED = DeliveryDispatched(at=NOON + HOUR)
FAILED = [DeliveryAttemptFailed(attempt=n, reason="nobody at home", at=NOON + 2 * HOUR) for n in (1, 2, 3)]


def scheduled(site: str = "s1", at: datetime = NOON) -> DeliveryScheduled:
    return DeliveryScheduled(site=site, deliver_to=Personal("ada", sealed="c2VhbGVk"), lines=LINES, at=at)


async def got(shelf: Shelf, order_id: str = "o1") -> DeliveryView:
    view: DeliveryView = await shelf.ask(GetDelivery(order_id), QUERIES)
    return view


async def listed(shelf: Shelf, **wanted: Any) -> list[str]:
    page: DeliveryPage = await shelf.ask(ListDeliveries(**wanted), QUERIES)
    return [delivery.order_id for delivery in page.deliveries]


async def test_a_delivery_shows_what_is_in_the_parcel_and_nothing_of_the_address(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("o1", scheduled()))
    delivery = await got(shelf)
    assert (delivery.state, delivery.site, delivery.lines, delivery.asked_at) == ("scheduled", "s1", LINES, NOON)
    assert (delivery.version, delivery.position) == (1, 1)
    assert b"ada" not in msgspec.json.encode(delivery)
    assert await shelf.ask(GetDelivery("o2"), QUERIES) is None


async def test_a_delivery_shows_how_far_it_has_come(shelf: Shelf) -> None:
    await shelf.happen(MODEL, ("o1", scheduled()), ("o1", DISPATCHED), ("o1", FAILED[0]))
    delivery = await got(shelf)
    assert (delivery.state, delivery.attempts, delivery.reason) == ("dispatched", 1, "nobody at home")
    assert (delivery.dispatched_at, delivery.ended_at) == (NOON + HOUR, None)
    await shelf.happen(MODEL, ("o1", DeliveryConfirmed(at=NOON + 3 * HOUR)))
    delivery = await got(shelf)
    assert (delivery.state, delivery.attempts, delivery.reason) == ("delivered", 1, None)
    assert (delivery.ended_at, delivery.version) == (NOON + 3 * HOUR, 4)


async def test_a_delivery_that_came_back_says_why(shelf: Shelf) -> None:
    returned: Event = DeliveryReturned(reason="nobody at home", at=NOON + 3 * HOUR)
    past = [scheduled(), DISPATCHED, *FAILED, returned]
    await shelf.happen(MODEL, *(("o1", event) for event in past))
    delivery = await got(shelf)
    assert (delivery.state, delivery.attempts, delivery.reason) == ("returned", 3, "nobody at home")
    assert delivery.ended_at == NOON + 3 * HOUR


async def test_a_cancelled_delivery_says_why_also_when_it_was_never_scheduled(shelf: Shelf) -> None:
    cancelled = DeliveryCancelled(reason="changed my mind", at=NOON + HOUR)
    await shelf.happen(MODEL, ("o1", scheduled()), ("o1", cancelled), ("o2", cancelled))
    for order_id, site, asked_at in (("o1", "s1", NOON), ("o2", None, NOON + HOUR)):
        delivery = await got(shelf, order_id)
        assert (delivery.state, delivery.site, delivery.asked_at) == ("cancelled", site, asked_at)
        assert (delivery.reason, delivery.ended_at) == ("changed my mind", NOON + HOUR)


async def test_deliveries_are_found_by_state_and_site_the_oldest_first(shelf: Shelf) -> None:
    await shelf.happen(
        MODEL,
        ("o1", scheduled("s1", NOON + 2 * HOUR)),
        ("o2", scheduled("s1", NOON)),
        ("o3", scheduled("s2", NOON + HOUR)),
        ("o3", DISPATCHED),
    )
    assert await listed(shelf) == ["o2", "o3", "o1"]
    assert await listed(shelf, state="scheduled") == ["o2", "o1"]
    assert await listed(shelf, state="dispatched") == ["o3"]
    assert await listed(shelf, site="s2") == ["o3"]
    assert await listed(shelf, site="s2", state="scheduled") == []


async def test_pages_of_deliveries_meet_without_gap_or_repeat(shelf: Shelf) -> None:
    await shelf.happen(MODEL, *((f"o{i:02}", scheduled(at=NOON + timedelta(minutes=i // 3))) for i in range(20)))
    seen: list[str] = []
    after: str | None = None
    while True:
        page: DeliveryPage = await shelf.ask(ListDeliveries(limit=6, after=after), QUERIES)
        seen += [delivery.order_id for delivery in page.deliveries]
        if (after := page.next) is None:
            break
    assert seen == [f"o{i:02}" for i in range(20)]


@pytest.mark.parametrize("after", ["x", "", "0", "ä", "WyJhIiwiYiJd", "W10", "=", "bnVsbA"])
async def test_a_wrong_cursor_is_refused(shelf: Shelf, after: str) -> None:
    with pytest.raises(Rejected) as refused:
        await shelf.ask(ListDeliveries(after=after), QUERIES)
    assert refused.value.code == "malformed"
