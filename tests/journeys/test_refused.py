"""Orders that end before anything is sent, for a reason of somebody else."""

import asyncio

import pytest

from tests.journeys.shop import Shop


async def test_of_an_order_with_one_short_line_nothing_is_set_aside(shop: Shop) -> None:
    site = await shop.site(mug=10, hat=1)
    order = await shop.order(site, mug=2, hat=2)
    await order.reaches("cancelled")
    await order.ends("cancelled", payment=None, delivery=None, cause="out-of-stock")
    await site.holds(mug=(10, 0), hat=(1, 0))


async def test_a_customer_whom_nobody_knows_gets_nothing(shop: Shop) -> None:
    site = await shop.site(mug=1)
    order = await shop.order(site, customer="a-stranger", mug=1)
    await order.reaches("cancelled")
    await order.ends("cancelled", payment=None, delivery=None, cause="customer-refused")
    await site.holds(mug=(1, 0))


async def test_a_customer_suspended_a_moment_before_gets_nothing(shop: Shop) -> None:
    site, customer = await shop.site(mug=1), await shop.customer()
    await shop.done("operator", f"/customers/{customer}/suspend", {"reason": "chargebacks"})
    order = await shop.order(site, customer, mug=1)
    await order.ends("cancelled", payment=None, delivery=None, cause="customer-refused")
    await site.holds(mug=(1, 0))


async def test_a_suspension_that_races_with_an_order_comes_before_it_or_after_it(shop: Shop) -> None:
    """Whichever comes first on the customer's own stream decides; nothing is left half done."""
    site, customer = await shop.site(mug=1), await shop.customer()
    order = await shop.basket(site, customer, mug=1)
    await asyncio.gather(
        shop.done("storefront", f"/orders/{order.id}", order.wish),
        shop.done("operator", f"/customers/{customer}/suspend", {"reason": "chargebacks"}),
    )
    story = await shop.settled(order.id)
    if story.counted("customer")["AdmissionRefused"]:
        await order.ends("cancelled", payment=None, delivery=None, cause="customer-refused")
    else:
        await order.ends("confirmed", payment="authorised", delivery="scheduled")


@pytest.mark.parametrize("token", ["pm_declined", "pm_of_nobody"])
async def test_a_declined_payment_ends_the_order_and_frees_its_goods(shop: Shop, token: str) -> None:
    site = await shop.site(mug=1)
    order = await shop.order(site, pay=token, mug=1)
    await order.reaches("cancelled")
    await order.ends("cancelled", payment="declined", delivery=None, cause="payment-declined")
    await site.holds(mug=(1, 0))
