"""Orders that reach their customers."""

import pytest

from tests.journeys.shop import Shop

HAPPY = """\
storefront PlaceOrder -> OrderPlaced
  order AdmitOrder -> AdmissionGranted
    order RecordAdmission -> OrderAdmitted
      order ReserveStock -> StockReserved
        order RecordReservation -> OrderReserved
          order RequestPayment -> AuthorisationRequested
            payment RecordAuthorisation -> PaymentAuthorised
              order RecordPayment -> OrderConfirmed
                order ScheduleDelivery -> DeliveryScheduled
warehouse DispatchDelivery -> DeliveryDispatched
  order RecordDispatch -> OrderDispatched
    order ShipReservation -> ReservationShipped
    order CapturePayment -> CaptureRequested
      payment RecordCapture -> PaymentCaptured
        order RecordPayment -> OrderPaid
courier ConfirmDelivered -> DeliveryConfirmed
  order RecordDelivery -> OrderDelivered"""


async def test_an_order_runs_from_basket_to_doorstep(shop: Shop) -> None:
    site = await shop.site(mug=10, hat=3)
    order = await shop.order(site, mug=2, hat=1)
    await order.reaches("confirmed")
    await site.holds(mug=(10, 2), hat=(3, 1))
    await order.leaves()
    await order.reaches("dispatched")
    await order.payment_reaches("captured")
    await order.arrives()
    await order.ends("delivered", payment="captured", delivery="delivered", paid=1258)
    await site.holds(mug=(8, 0), hat=(2, 0))
    assert sorted((await order.tale()).splitlines()) == sorted(HAPPY.splitlines())


async def test_an_order_that_totals_nothing_needs_no_provider_and_is_still_delivered(shop: Shop) -> None:
    site = await shop.site(mug=1)
    order = await shop.basket(site, await shop.customer())
    order.wish["lines"] = [{"sku": "mug", "quantity": 1, "amount": 0}]
    await shop.done("replay", f"/orders/{order.id}", order.wish)
    await order.leaves()
    await order.arrives()
    story = await order.ends("delivered", payment="captured", delivery="delivered", paid=0)
    assert set(story.counted("payment")) == {"PaymentAuthorised", "PaymentCaptured"}
    await site.holds(mug=(0, 0))


@pytest.mark.parametrize("provider", ["pm_slow", "pm_silent", "pm_twice"])
async def test_a_provider_that_is_slow_silent_or_answers_twice_moves_the_money_once(shop: Shop, provider: str) -> None:
    site = await shop.site(mug=1)
    order = await shop.order(site, pay=provider, mug=1)
    await order.leaves()
    await order.arrives()
    story = await order.ends("delivered", payment="captured", delivery="delivered", paid=129)
    money = ("AuthorisationRequested", "PaymentAuthorised", "CaptureRequested", "PaymentCaptured")
    assert story.counted("payment") == dict.fromkeys(money, 1)
    await site.holds(mug=(0, 0))


async def test_money_that_does_not_come_after_all_is_shown_and_the_order_goes_on(shop: Shop) -> None:
    order = await shop.order(await shop.site(mug=1), pay="pm_capture_fails", mug=1)
    await order.leaves()
    await order.arrives()
    problem = "capture: the money is not there any more"
    await order.ends("delivered", payment="capture-failed", delivery="delivered", problem=problem)
    await order.site.holds(mug=(0, 0))
