"""Orders that are to be stopped: at every point of their way, and at the moment at which they leave."""

import asyncio

import httpx

from tests.journeys.faults import still
from tests.journeys.order import Order
from tests.journeys.record import Story
from tests.journeys.shop import Shop

RACES = 30
LEADS_S = (0.0, 0.02, 0.08)
"""By how much the wish to cancel comes before the parcel leaves: it has the longer way, through the order."""


async def test_an_order_cancelled_before_its_goods_were_set_aside_gives_them_back(shop: Shop) -> None:
    site = await shop.site(mug=1)
    with still(shop.system, "context-stock"):
        order = await shop.order(site, mug=1)
        await order.reaches("admitted")
        await order.is_cancelled()
    story = await order.ends("cancelled", payment=None, delivery=None, cause="asked")
    assert {"StockReserved", "ReservationReleased"} < set(story.counted("stock"))
    await site.holds(mug=(1, 0))


async def test_an_order_cancelled_in_the_same_breath_holds_nothing_in_the_end(shop: Shop) -> None:
    site, customer = await shop.site(mug=1), await shop.customer()
    order = await shop.basket(site, customer, mug=1)
    placed = asyncio.create_task(shop.done("storefront", f"/orders/{order.id}", order.wish))
    while (await shop.asks("storefront", f"/orders/{order.id}/cancel", {"reason": "oh"})).status_code == 409:
        assert not (placed.done() and placed.exception())
    await placed
    await order.reaches("cancelled")
    story = await shop.settled(order.id)
    payment = "voided" if story.events["payment"] else None
    delivery = "cancelled" if story.events["delivery"] else None
    await order.ends("cancelled", payment=payment, delivery=delivery, cause="asked")
    await site.holds(mug=(1, 0))


async def test_money_that_is_set_aside_after_the_cancellation_is_let_go(shop: Shop) -> None:
    site = await shop.site(mug=1)
    order = await shop.order(site, pay="pm_slow", mug=1)
    await order.reaches("reserved")
    await order.is_cancelled()
    await order.ends("cancelled", payment="voided", delivery=None, cause="asked")
    await site.holds(mug=(1, 0))


async def test_an_order_cancelled_before_it_leaves_is_not_sent_and_not_paid(shop: Shop) -> None:
    site = await shop.site(mug=1)
    order = await shop.order(site, mug=1)
    await order.delivery_reaches("scheduled")
    await order.is_cancelled()
    await order.ends("cancelled", payment="voided", delivery="cancelled", cause="asked")
    assert await shop.refused("warehouse", f"/deliveries/{order.id}/dispatch") == "delivery.cancelled"
    await site.holds(mug=(1, 0))


async def test_a_cancellation_and_the_dispatch_at_once_end_lawfully_either_way(shop: Shop) -> None:
    site, customer = await shop.site(mug=RACES), await shop.customer()
    orders = await asyncio.gather(*(shop.order(site, customer, mug=1) for _ in range(RACES)))
    await asyncio.gather(*(order.delivery_reaches("scheduled") for order in orders))
    await asyncio.gather(*(race(shop, order, LEADS_S[n % len(LEADS_S)]) for n, order in enumerate(orders)))
    story = await shop.settled(site.id)
    left = sum([await has_left(story, order) for order in orders])
    print(f"\nof {RACES} cancellations {RACES - left} came in time, {left} too late")
    await site.holds(**({"mug": (RACES - left, 0)}))


async def race(shop: Shop, order: Order, lead_s: float) -> None:
    """Sends both wishes at once, or almost; either may be refused because of the other."""

    async def leaves() -> httpx.Response:
        await asyncio.sleep(lead_s)
        return await shop.asks("warehouse", f"/deliveries/{order.id}/dispatch")

    wish = shop.asks("storefront", f"/orders/{order.id}/cancel", {"reason": "changed my mind"})
    answers = await asyncio.gather(wish, leaves())
    codes = [answer.json()["code"] for answer in answers if answer.status_code != 200]
    assert codes in ([], ["order.has-left"], ["delivery.cancelled"])


async def has_left(story: Story, order: Order) -> bool:
    """Whether it has; it must have ended as that demands."""
    if "DeliveryCancelled" in story.counted("delivery", order.id):
        await order.ends("cancelled", payment="voided", delivery="cancelled", cause="asked", story=story)
        return False
    await order.ends("dispatched", payment="captured", delivery="dispatched", paid=129, story=story)
    if "CancellationRequested" in story.counted("order", order.id):  # In time for the order, too late for delivery.
        assert "CancellationCameTooLate" in story.counted("order", order.id)
        (refused,) = await order.told("CancelDelivery")
        assert (refused.command["state"], refused.command["code"]) == ("rejected", "delivery.has-left")
        assert (refused.cause, refused.depth) == ("CancellationRequested", 1)
    return True


async def test_a_cancellation_on_its_way_while_the_parcel_leaves_is_refused_by_delivery_and_told_to_the_order(
    shop: Shop,
) -> None:
    order = await shop.order(await shop.site(mug=1), mug=1)
    await order.delivery_reaches("scheduled")
    with still(shop.system, "context-delivery"):
        await shop.sends("warehouse", f"/deliveries/{order.id}/dispatch")
        await order.is_cancelled()
        await order.reaches("cancelling")
    await order.reaches("dispatched")
    story = await order.ends("dispatched", payment="captured", delivery="dispatched", paid=129)
    assert await has_left(story, order)
    assert story.counted("order")["CancellationCameTooLate"] == 1
    await order.site.holds(mug=(0, 0))


async def test_an_order_that_has_left_cannot_be_cancelled(shop: Shop) -> None:
    site = await shop.site(mug=1)
    order = await shop.order(site, mug=1)
    await order.leaves()
    await order.reaches("dispatched")
    assert await order.cannot_be_cancelled() == "order.has-left"
    await order.ends("dispatched", payment="captured", delivery="dispatched", paid=129)
    (refused,) = await order.told("CancelOrder")
    assert (refused.command["state"], refused.command["code"]) == ("rejected", "order.has-left")
    await order.arrives()
    assert await order.cannot_be_cancelled() == "order.has-left"
    await order.ends("delivered", payment="captured", delivery="delivered", paid=129)
    await site.holds(mug=(0, 0))
