"""Goods that come back, and money that is paid back."""

from tests.journeys.order import Order
from tests.journeys.shop import Shop


async def sent(shop: Shop, mug: int, hat: int = 0) -> Order:
    """An order on its way, paid."""
    goods = {"mug": mug} | ({"hat": hat} if hat else {})
    order = await shop.order(await shop.site(mug=10, hat=10), "", "pm_ok", "storefront", **goods)
    await order.leaves()
    await order.payment_reaches("captured")
    return order


async def test_after_three_failed_attempts_the_goods_are_back_and_the_money_too(shop: Shop) -> None:
    order = await sent(shop, mug=2)
    await order.site.holds(mug=(8, 0), hat=(10, 0))
    for _ in range(3):
        await order.nobody_is_home()
    await order.reaches("returned")
    await order.ends("returned", payment="refunded", delivery="returned", paid=258, refunded=258)
    await order.site.holds(mug=(10, 0), hat=(10, 0))
    assert await order.cannot_be_cancelled() == "order.has-left"


async def test_two_failed_attempts_do_no_harm(shop: Shop) -> None:
    order = await sent(shop, mug=2)
    await order.nobody_is_home()
    await order.nobody_is_home()
    await order.arrives()
    await order.ends("delivered", payment="captured", delivery="delivered", paid=258)
    await order.site.holds(mug=(8, 0), hat=(10, 0))


async def test_what_the_courier_brings_back_is_sold_again_and_paid_back(shop: Shop) -> None:
    order = await sent(shop, mug=2, hat=1)
    await order.goes_back()
    await order.reaches("returned")
    await order.ends("returned", payment="refunded", delivery="returned", paid=1258, refunded=1258)
    await order.site.holds(mug=(10, 0), hat=(10, 0))


async def test_what_comes_back_before_its_money_came_is_paid_back_when_it_comes(shop: Shop) -> None:
    order = await shop.order(await shop.site(mug=1), pay="pm_slow", mug=1)
    await order.leaves()
    await order.reaches("dispatched")
    await order.goes_back()
    await order.ends("returned", payment="refunded", delivery="returned", paid=129, refunded=129)
    await order.site.holds(mug=(1, 0))


async def test_a_part_is_paid_back_and_never_more_than_was_paid(shop: Shop) -> None:
    order = await sent(shop, mug=2, hat=1)
    await order.arrives()
    await order.pays_back("mug", 1, 129)
    await order.payment_reaches("captured")
    assert await order.pays_too_much_back("hat", 1, 1130) == "payment.refund-exceeds"
    await order.ends("delivered", payment="captured", delivery="delivered", paid=1258, refunded=129)
    await order.pays_back("hat", 1, 1129)
    await order.ends("delivered", payment="refunded", delivery="delivered", paid=1258, refunded=1258)
    assert await order.pays_too_much_back("mug", 1, 1) == "payment.refund-exceeds"


async def test_what_was_paid_back_before_is_not_paid_back_again_when_all_comes_back(shop: Shop) -> None:
    order = await sent(shop, mug=2, hat=1)
    await order.pays_back("mug", 1, 129)
    await order.goes_back()
    await order.ends("returned", payment="refunded", delivery="returned", paid=1258, refunded=1258)
    await order.site.holds(mug=(10, 0), hat=(10, 0))


async def test_what_was_not_taken_cannot_be_paid_back(shop: Shop) -> None:
    order = await shop.order(await shop.site(mug=1), mug=1)
    await order.payment_reaches("authorised")
    assert await order.pays_too_much_back("mug", 1, 1) == "payment.not-captured"
    await order.ends("confirmed", payment="authorised", delivery="scheduled")
