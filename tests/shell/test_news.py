"""Waiting for a read model to get somewhere: woken by its news, and never left behind."""

import asyncio

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from common.recorded import VERSION, VERSION_HEADER
from common.shell.news import Move, News, told
from common.shell.wish import After
from tests.servers import until


def at(position: int, context: str = "order") -> list[After]:
    return [After(context, position=position)]


async def test_who_waits_is_woken_by_the_move_that_gets_there() -> None:
    news = News()
    news.note(Move("orders", "order", 3))
    waits = {position: asyncio.create_task(news.reached("orders", at(position), 5)) for position in (3, 4, 5, 9)}
    await asyncio.wait([waits[3]])
    news.note(Move("orders", "order", 5))
    await asyncio.wait([waits[4], waits[5]])
    assert not waits[9].done()
    news.note(Move("products", "order", 20))
    news.note(Move("orders", "product", 20))
    assert await news.reached("orders", at(8), 0.01) is False
    news.note(Move("orders", "order", 9))
    assert await asyncio.gather(*waits.values()) == [True] * 4


async def test_several_contexts_are_waited_for_together() -> None:
    news = News()
    for context in ("order", "product"):
        news.note(Move("both", context, 1))
    wait = asyncio.create_task(news.reached("both", [*at(2), *at(3, "product")], 5))
    news.note(Move("both", "product", 3))
    assert await news.reached("both", [*at(2), *at(3, "product")], 0.01) is False
    news.note(Move("both", "order", 2))
    assert await wait is True


async def test_nobody_waits_for_a_model_that_was_never_heard_of() -> None:
    assert await News().reached("orders", at(5), 0) is True


async def test_a_model_that_was_made_anew_is_waited_for_again() -> None:
    news = News()
    news.note(Move("orders", "order", 9))
    news.note(Move("orders", "order", 2))
    assert await news.reached("orders", at(9), 0.01) is False


@given(st.lists(st.integers(1, 20), min_size=1), st.lists(st.integers(0, 20), min_size=1))
async def test_all_who_can_be_woken_are_and_nobody_else(wishes: list[int], moves: list[int]) -> None:
    news = News()
    news.note(Move("m", "c", 0))
    waits = [asyncio.create_task(news.reached("m", at(position, "c"), 5)) for position in wishes]
    await asyncio.sleep(0)
    for position in moves:
        news.note(Move("m", "c", position))
    for _ in range(3):
        await asyncio.sleep(0)
    assert [wait.done() for wait in waits] == [position <= max(moves) for position in wishes]
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_moves_and_beats_are_heard_and_strays_are_not(nc: Client) -> None:
    news = News()
    for context in ("order", "product"):
        news.note(Move("orders", context, 0))
    await news.listen(nc)
    await nc.publish("moved.orders", told(Move("orders", "order", 99)))  # Without our header: a forged reply subject.
    await nc.publish("beat.projector.orders", b"{}", headers={VERSION_HEADER: VERSION})
    await nc.publish("moved.orders", told(Move("orders", "order", 4)), headers={VERSION_HEADER: VERSION})
    beat = {"model": "orders", "context": "product", "position": 6, "state": "live"}
    await nc.publish("beat.projector.orders", msgspec.json.encode(beat), headers={VERSION_HEADER: VERSION})

    async def heard() -> bool:
        order, product = [await news.reached("orders", at(*place), 0.01) for place in ((4, "order"), (6, "product"))]
        return order and product

    await until(heard)
    assert await news.reached("orders", at(7, "product"), 0.01) is False
    assert await news.reached("orders", at(5), 0.01) is False
