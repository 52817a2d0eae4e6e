"""What is read from two tables is as fresh as the staler of them: answers wait for both and tell of both."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client

from common.discovery import query_handlers, query_models
from common.dispatch import QueryDispatcher
from common.recorded import POSITION_HEADER, Receipt
from common.shell.context_queries import HeadAnswer
from common.shell.follower import Follower
from common.shell.heads import Heads
from common.shell.news import Move, News
from common.shell.reading import Found, Reading, Sources
from common.shell.room import Room
from common.shell.wish import STALENESS_HEADER, UNKNOWN, After, Wish
from common.store.fold import Happened
from common.store.reader import Lag
from contexts.product.events import ProductAdded
from projectors import catalogue_words, products
from projectors.products import ListProducts
from tests.projectors.conftest import NOON, SCHEMA, Shelf
from tests.projectors.test_products import BANANAS, MILK
from tests.servers import until

AGE_MS = 60_000.0


class Catalogue:
    """Asks the catalogue. The record ends at the second product, which is as old as `AGE_MS`."""

    def __init__(self, shelf: Shelf, nc: Client) -> None:
        self.shelf, self.news, self.looks = shelf, News(), 0
        sources = Sources(lambda: nc, self._no_receipt, self.news, Heads(self._head), ["product", "stock"], Room(10))
        self._reading = Reading(
            query_models([products]), QueryDispatcher(query_handlers([products])), self._connection, sources
        )

    def _connection(self) -> Any:
        self.looks += 1
        return self.shelf.pool.acquire()

    async def _no_receipt(self, principal: str, context: str, command_id: str) -> Receipt | None:
        return None

    async def _head(self, context: str, positions: tuple[int, ...]) -> HeadAnswer:
        end = 2 if context == "product" else 0
        lag = [Lag(end - position, AGE_MS if position < end else 0.0) for position in positions]
        return HeadAnswer(context, end, "one", None, lag)

    def ask(self, *after: After) -> "asyncio.Task[Found]":
        wish = Wish(after, wait_s=20)
        return asyncio.create_task(self._reading(ListProducts(q="banan"), "alice", wish))

    async def knows_milk(self) -> None:
        await self.shelf.happen_for([products.MODEL, catalogue_words.MODEL], ("p2", ProductAdded(MILK)))

    async def learns_of_bananas(self, *models: Any) -> None:
        for model in models:
            happened = Happened(2, "one", "p1", 1, NOON, ProductAdded(BANANAS))
            await Follower(self.shelf.pool, model, SCHEMA).take("product", [happened])
            self.news.note(Move(model.name, "product", 2, "one", 0))


@pytest.fixture
def catalogue(shelf: Shelf, nc: Client) -> Catalogue:
    return Catalogue(shelf, nc)


@pytest.mark.parametrize("ahead", [products.MODEL, catalogue_words.MODEL], ids=lambda model: model.name)
async def test_an_answer_tells_the_place_and_the_age_of_the_table_that_is_behind(
    catalogue: Catalogue, ahead: Any
) -> None:
    await catalogue.knows_milk()
    await catalogue.learns_of_bananas(ahead)
    found = await catalogue.ask()
    assert (found.value.products, found.headers[POSITION_HEADER]) == ([], "product=1@one, stock=0")
    assert int(found.headers[STALENESS_HEADER]) >= AGE_MS


@pytest.mark.parametrize("ahead", [products.MODEL, catalogue_words.MODEL], ids=lambda model: model.name)
async def test_an_answer_waits_until_both_tables_show_what_is_wished(catalogue: Catalogue, ahead: Any) -> None:
    await catalogue.knows_milk()
    await catalogue.learns_of_bananas(ahead)
    waiting = catalogue.ask(After("product", position=2))
    await until(lambda: catalogue.looks > 0)
    assert not waiting.done()
    await catalogue.learns_of_bananas(products.MODEL, catalogue_words.MODEL)
    found = await asyncio.wait_for(waiting, 10)
    assert ([each.sku for each in found.value.products], found.headers[POSITION_HEADER]) == (
        [BANANAS.sku],
        "product=2@one, stock=0",
    )
    assert int(found.headers[STALENESS_HEADER]) < AGE_MS


async def test_how_old_an_answer_is_nobody_knows_while_its_table_is_of_a_version_that_followed_less(
    catalogue: Catalogue,
) -> None:
    await catalogue.knows_milk()
    assert (await catalogue.ask()).headers[STALENESS_HEADER] != UNKNOWN
    await catalogue.shelf.pool.execute("DELETE FROM read.checkpoints WHERE model = 'products' AND context = 'stock'")
    wished = After("product", position=1)
    await until(lambda: unknown(catalogue, wished))


async def unknown(catalogue: Catalogue, wished: After) -> bool:
    """A place that was read a moment ago may still stand for the one that is there."""
    headers = (await catalogue.ask(wished)).headers
    return (headers[POSITION_HEADER], headers[STALENESS_HEADER]) == ("product=1@one", UNKNOWN)
