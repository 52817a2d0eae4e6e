"""A site as it can be looked at: its levels, one product's, how they were before, and what has happened."""

from tests.journeys.shop import Shop


async def test_a_site_shows_its_levels_as_they_are_and_as_they_were(shop: Shop) -> None:
    site = await shop.site(mug=5, hat=2)
    order = await shop.order(site, mug=3)
    await order.delivery_reaches("scheduled")
    await site.holds(mug=(5, 3), hat=(2, 0))
    mugs = await shop.sees(f"/stock/{site.id}/levels/mug")
    assert (mugs["on_hand"], mugs["reserved"], mugs["available"]) == (5, 3, 2)
    assert await shop.sees(f"/stock/{site.id}/levels/unheard-of") is None
    elsewhere = await shop.sees("/products/mug/stock", limit="500")
    assert {level["site"]: level["available"] for level in elsewhere["levels"]}[site.id] == 2
    now = await shop.sees(f"/stock/{site.id}", as_of="now")
    assert (now["state"]["on_hand"], list(now["state"]["reservations"])) == ({"mug": 5, "hat": 2}, [order.id])
    before = await shop.sees(f"/stock/{site.id}", as_of="1")
    assert before["state"]["reservations"] == {}
    history = await shop.sees(f"/stock/{site.id}/history")
    assert [event["type"] for event in history["events"]] == ["StockReceived", "StockReserved"]
