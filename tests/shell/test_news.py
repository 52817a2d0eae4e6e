"""Waiting for a read model to get somewhere: woken by its news, and never left behind."""

import asyncio
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nats.aio.client import Client

from common.recorded import VERSION, VERSION_HEADER
from common.shell.news import MANY, Move, News, told
from common.shell.wish import After
from tests.servers import until


def move(
    position: int, context: str = "order", model: str = "orders", incarnation: str = "one", generation: int = 0
) -> Move:
    return Move(model, context, position, incarnation, generation)


def at(position: int, context: str = "order") -> list[After]:
    return [After(context, position=position)]


async def test_who_waits_is_woken_by_the_move_that_gets_there() -> None:
    news = News()
    news.note(move(3))
    waits = {position: asyncio.create_task(news.reached("orders", at(position), 5)) for position in (3, 4, 5, 9)}
    await asyncio.wait([waits[3]])
    news.note(move(5))
    await asyncio.wait([waits[4], waits[5]])
    assert not waits[9].done()
    news.note(Move("products", "order", 20, "one", 0))
    news.note(Move("orders", "product", 20, "one", 0))
    assert await news.reached("orders", at(8), 0.01) is False
    news.note(move(9))
    assert await asyncio.gather(*waits.values()) == [True] * 4


async def test_several_contexts_are_waited_for_together() -> None:
    news = News()
    for context in ("order", "product"):
        news.note(Move("both", context, 1, "one", 0))
    wait = asyncio.create_task(news.reached("both", [*at(2), *at(3, "product")], 5))
    news.note(Move("both", "product", 3, "one", 0))
    assert await news.reached("both", [*at(2), *at(3, "product")], 0.01) is False
    news.note(Move("both", "order", 2, "one", 0))
    assert await wait is True


async def test_of_a_model_that_was_never_heard_of_nothing_is_told_until_its_first_word() -> None:
    news = News()
    assert news.says("orders", at(5)) is None
    word = asyncio.create_task(news.next_word(["orders"], 5))
    await asyncio.sleep(0)
    news.note(move(1, model="products"))
    assert not word.done()
    news.note(move(1))
    await asyncio.wait_for(word, 1)
    assert news.says("orders", at(5)) is False
    assert news.says("orders", at(1)) is True
    await news.next_word(["orders"], 0)


async def test_a_word_that_is_late_or_knows_nothing_takes_nothing_back() -> None:
    news = News()
    news.note(move(9))
    for late in (move(2), move(0, incarnation=""), move(0, incarnation="", generation=1)):
        news.note(late)
        assert news.says("orders", at(9)) is True


@pytest.mark.parametrize("anew", [{"generation": 1}, {"incarnation": "two"}])
async def test_a_table_that_was_made_anew_is_waited_for_again(anew: dict[str, Any]) -> None:
    news = News()
    news.note(move(9))
    news.note(move(2, **anew))
    assert await news.reached("orders", at(9), 0.01) is False


async def test_those_who_gave_up_are_swept_out() -> None:
    news = News()
    news.note(move(0))
    patient = asyncio.create_task(news.reached("orders", at(10), 5))
    for _ in range(1000):
        await news.reached("orders", at(11), 0)
    assert sum(map(len, news._waiting.values())) <= 2 * MANY
    news.note(move(10))
    assert await patient is True


@given(st.lists(st.integers(1, 20), min_size=1), st.lists(st.integers(0, 20), min_size=1))
async def test_all_who_can_be_woken_are_and_nobody_else(wishes: list[int], moves: list[int]) -> None:
    news = News()
    news.note(Move("m", "c", 0, "one", 0))
    waits = [asyncio.create_task(news.reached("m", at(position, "c"), 5)) for position in wishes]
    await asyncio.sleep(0)
    for position in moves:
        news.note(Move("m", "c", position, "one", 0))
    for _ in range(3):
        await asyncio.sleep(0)
    assert [wait.done() for wait in waits] == [position <= max(moves) for position in wishes]
    for wait in waits:
        wait.cancel()
    await asyncio.gather(*waits, return_exceptions=True)


async def test_moves_and_beats_are_heard_and_strays_are_not(nc: Client) -> None:
    news = News()
    for context in ("order", "product"):
        news.note(Move("orders", context, 0, "one", 0))
    await news.listen(nc)
    await nc.publish(
        "moved.orders", told(Move("orders", "order", 99, "one", 0))
    )  # Without our header: a forged reply subject.
    await nc.publish("beat.projector.orders", b"{}", headers={VERSION_HEADER: VERSION})
    await nc.publish("moved.orders", told(move(4)), headers={VERSION_HEADER: VERSION})
    beat = {"model": "orders", "context": "product", "position": 6, "incarnation": "one", "generation": 0, "state": ""}
    await nc.publish("beat.projector.orders", msgspec.json.encode(beat), headers={VERSION_HEADER: VERSION})

    async def heard() -> bool:
        order, product = [await news.reached("orders", at(*place), 0.01) for place in ((4, "order"), (6, "product"))]
        return order and product

    await until(heard)
    assert await news.reached("orders", at(7, "product"), 0.01) is False
    assert await news.reached("orders", at(5), 0.01) is False
