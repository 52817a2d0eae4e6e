"""Many orders at once, and parts that stand still or die meanwhile."""

from collections import Counter

from contexts.payment.events import PaymentAuthorised
from tests.integration.invariants import all_violations
from tests.journeys.faults import still
from tests.journeys.many import all_delivered, crowd, money
from tests.journeys.order import PRICES
from tests.journeys.shop import Shop
from tests.servers import until

BUYERS, MUGS = 100, 10
STILL_S, RATE = 5, 20
JOURNEYS = 200


async def test_of_ten_mugs_a_hundred_buyers_get_exactly_ten(shop: Shop) -> None:
    async with crowd(shop, BUYERS, mugs=MUGS, sites=1, customers=BUYERS) as buyers:
        assert (await buyers.come()).statuses == {202: BUYERS}
        await buyers.reach("orders", "confirmed", "cancelled")
        story = await buyers.settled()
        (site,) = buyers.sites
        orders = (await shop.sees("/orders", site=site.id, limit=str(BUYERS)))["orders"]
        assert Counter((each["state"], each["cancel_cause"]) for each in orders) == {
            ("confirmed", None): MUGS,
            ("cancelled", "out-of-stock"): BUYERS - MUGS,
        }
        assert story.counted("stock") == {
            "StockReceived": 1,
            "StockReserved": MUGS,
            "ReservationRefused": BUYERS - MUGS,
        }
        assert money(story, PaymentAuthorised) == MUGS * PRICES["mug"]
        await site.holds(mug=(MUGS, MUGS))


async def test_while_payment_stands_still_orders_are_taken_and_afterwards_each_is_paid_once(shop: Shop) -> None:
    async with crowd(shop, STILL_S * RATE, mugs=STILL_S * RATE // 2) as buyers:
        with still(shop.system, "context-payment"):
            answers = await buyers.come(RATE)
            await buyers.reach("orders", "reserved")
        assert answers.statuses == {202: STILL_S * RATE}
        await all_delivered(buyers)


async def test_journeys_go_on_when_the_process_of_orders_and_that_of_payments_are_killed(shop: Shop) -> None:
    async with crowd(shop, JOURNEYS, mugs=JOURNEYS // 2) as buyers:
        await buyers.come()
        await buyers.reach("orders", "confirmed", number=JOURNEYS // 4)
        await shop.system.kill_and_wait("context-order")
        await buyers.reach("deliveries", "scheduled")
        await buyers.leave(buyers.orders[: JOURNEYS // 2])
        await shop.system.kill_and_wait("context-payment")
        await all_delivered(buyers)


async def test_after_all_of_this_the_record_its_streams_and_its_read_models_agree(shop: Shop) -> None:
    async def caught_up() -> bool:
        found = await shop.sees("/consistency-lag")
        return all(each["events"] == 0 for each in found["read_models"])

    await until(caught_up, what="the read models to have caught up")
    assert await all_violations(shop.system.settings, "storefront", []) == []
