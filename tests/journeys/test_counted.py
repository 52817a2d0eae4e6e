"""A count finds less than what is set aside: the latest reservation gives way, and its order ends."""

from tests.journeys.shop import Shop


async def test_an_order_whose_goods_are_missing_ends_before_it_is_paid(shop: Shop) -> None:
    site = await shop.site(mug=5)
    order = await shop.order(site, pay="pm_slow", mug=3)
    await order.reaches("reserved")
    await site.counts("mug", 1)
    await order.ends("cancelled", payment="voided", delivery=None, cause="stock-missing")
    await site.holds(mug=(1, 0))


async def test_a_confirmed_order_whose_goods_are_missing_is_not_sent(shop: Shop) -> None:
    site = await shop.site(mug=5)
    order = await shop.order(site, mug=3)
    await order.delivery_reaches("scheduled")
    await site.counts("mug", 1)
    await order.ends("cancelled", payment="voided", delivery="cancelled", cause="stock-missing")
    await site.holds(mug=(1, 0))


async def test_the_latest_order_gives_way_and_the_one_before_is_served(shop: Shop) -> None:
    site = await shop.site(mug=5)
    first = await shop.order(site, mug=2)
    await first.delivery_reaches("scheduled")
    second = await shop.order(site, mug=2)
    await second.delivery_reaches("scheduled")
    await site.counts("mug", 3)
    await second.ends("cancelled", payment="voided", delivery="cancelled", cause="stock-missing")
    await first.leaves()
    await first.arrives()
    await first.ends("delivered", payment="captured", delivery="delivered", paid=258)
    await site.holds(mug=(1, 0))
