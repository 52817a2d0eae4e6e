"""What is not paid or not delivered in time."""

import signal

from tests.integration.ordering import ask
from tests.journeys.faults import still
from tests.journeys.order import Order
from tests.journeys.shop import Shop
from tests.servers import until


async def passes(order: Order, shop: Shop, deadline: str) -> None:
    """A deadline of the order, which must be set, has come."""
    sql = 'UPDATE "order".deadlines SET due_at = now() WHERE stream = $1 AND name = $2 RETURNING true'
    assert await ask(shop.system.settings.write_dsn("order"), sql, order.id, deadline)


async def nobody_was_there(order: Order, shop: Shop) -> None:
    """The time to deliver has come while the order's process does nothing; then it is killed."""
    pid = shop.system.kill("context-order", signal.SIGSTOP)
    await passes(order, shop, "delivery")
    await shop.system.kill_and_wait("context-order")
    assert shop.system.pids["context-order"] != pid


async def open_deadlines(order: Order, shop: Shop) -> object:
    sql = 'SELECT coalesce(array_agg(name ORDER BY name), ARRAY[]::text[]) FROM "order".deadlines WHERE stream = $1'
    return await ask(shop.system.settings.write_dsn("order"), sql, order.id)


async def test_an_order_that_is_not_paid_in_time_ends_and_gives_all_back(shop: Shop) -> None:
    site = await shop.site(mug=1)
    with still(shop.system, "context-payment"):
        order = await shop.order(site, mug=1)
        await order.reaches("reserved")
        await passes(order, shop, "payment")
        await order.reaches("cancelled")
    await order.ends("cancelled", payment="voided", delivery=None, cause="not-paid-in-time")
    assert await open_deadlines(order, shop) == []
    (expired,) = await order.told("ExpireOrder")
    assert (expired.cause, expired.command["principal"]) == ("OrderPlaced", "order")
    await site.holds(mug=(1, 0))


async def test_an_order_that_does_not_leave_in_time_is_not_sent_any_more(shop: Shop) -> None:
    """Also when nobody was there at the moment at which the time had come."""
    site = await shop.site(mug=1)
    order = await shop.order(site, mug=1)
    await order.delivery_reaches("scheduled")
    assert await open_deadlines(order, shop) == ["delivery"]
    await nobody_was_there(order, shop)
    await order.reaches("cancelled")
    await order.ends("cancelled", payment="voided", delivery="cancelled", cause="not-delivered-in-time")
    await site.holds(mug=(1, 0))


async def test_what_has_left_and_does_not_arrive_in_time_is_called_back(shop: Shop) -> None:
    site = await shop.site(mug=1)
    order = await shop.order(site, mug=1)
    await order.leaves()
    await order.payment_reaches("captured")
    await passes(order, shop, "delivery")
    await order.reaches("returned")
    await order.ends("returned", payment="refunded", delivery="returned", paid=129, refunded=129)
    assert await open_deadlines(order, shop) == []
    await site.holds(mug=(1, 0))


async def test_a_deadline_that_comes_when_all_is_over_changes_nothing(shop: Shop) -> None:
    order = await shop.order(await shop.site(mug=1), mug=1)
    await order.leaves()
    await order.arrives()
    story = await order.ends("delivered", payment="captured", delivery="delivered", paid=129)
    first = story.events["order"][0]
    sql = "INSERT INTO \"order\".deadlines VALUES ($1, 'delivery', now(), $2, $3) RETURNING true"
    dsn = shop.system.settings.write_dsn("order")
    assert await ask(dsn, sql, order.id, first.id, first.correlation_id)

    async def asked() -> bool:
        return bool(await order.told("ExpireOrder"))

    await until(asked, what="the deadline to be asked for")
    after = await order.ends("delivered", payment="captured", delivery="delivered", paid=129)
    assert after.counted("order") == story.counted("order")
