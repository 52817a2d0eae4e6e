"""Answers wait for what is wished, are woken by news, and end in a problem that says how things are."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from uuid import uuid4

import msgspec
import pytest
from nats.aio.client import Client

from common.discovery import query_handlers, query_models
from common.dispatch import QueryDispatcher
from common.recorded import POSITION_HEADER, VERSION, VERSION_HEADER, Receipt
from common.shell.context_queries import HeadAnswer
from common.shell.heads import Heads
from common.shell.news import Move, News
from common.shell.reading import Found, Reading, Sources
from common.shell.room import Room
from common.shell.unanswered import Unanswered
from common.shell.wish import STALENESS_HEADER, After, Wish
from common.store.reader import Lag
from contexts.order.events import OrderCancelled
from projectors import orders
from projectors.orders import GetOrder
from tests.projectors.conftest import NOON, Shelf
from tests.projectors.test_orders import placed
from tests.servers import until

CANCELLED = OrderCancelled(reason="", at=NOON)


class Desk:
    """Asks the read tables of a shelf; what the bus and the contexts would say, the tests say."""

    def __init__(self, shelf: Shelf, nc: Client, most: int = 10) -> None:
        self.shelf, self.nc, self.news = shelf, nc, News()
        self.looks = self.head = 0
        self.receipts: dict[str, Receipt] = {}
        sources = Sources(lambda: nc, self._receipt, self.news, Heads(self._head), ["order", "product"], Room(most))
        dispatcher = QueryDispatcher(query_handlers([orders]))
        self._reading = Reading(query_models([orders]), dispatcher, self._connection, sources)

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Any]:
        self.looks += 1
        async with self.shelf.pool.acquire() as connection:
            yield connection

    async def _receipt(self, principal: str, context: str, command_id: str) -> Receipt | None:
        if command_id == "silent":
            raise ConnectionRefusedError
        return self.receipts.get(command_id)

    async def _head(self, context: str, positions: tuple[int, ...]) -> HeadAnswer:
        return HeadAnswer(context, self.head, "one", None, [Lag(0, 0.0) for _ in positions])

    def ask(self, order_id: str = "o1", *after: After, wait_s: float = 5, states: str = "") -> "asyncio.Task[Found]":
        wish = Wish(after, frozenset(states.split()), wait_s)
        return asyncio.create_task(self._reading(GetOrder(order_id), "alice", wish))

    async def refusal(self, *after: After, wait_s: float = 0.1, states: str = "") -> tuple[str, dict[str, Any]]:
        with pytest.raises(Unanswered) as refused:
            await self.ask("o1", *after, wait_s=wait_s, states=states)
        return refused.value.code, refused.value.members

    async def happen(self, *events: Any) -> None:
        """Projects events of order o1 and tells so."""
        await self.shelf.happen(orders.MODEL, *(("o1", event) for event in events))
        self.head = await self.shelf.pool.fetchval("SELECT position FROM read.checkpoints WHERE model = 'orders'")
        self.news.note(Move("orders", "order", self.head, "one", 0))

    async def looked(self) -> None:
        """Until the table was looked at."""
        await until(lambda: self.looks > 0)


@pytest.fixture
def desk(shelf: Shelf, nc: Client) -> Desk:
    return Desk(shelf, nc)


def position(number: int, incarnation: str = "") -> After:
    return After("order", position=number, incarnation=incarnation)


async def test_every_answer_says_how_fresh_it_is(desk: Desk) -> None:
    await desk.happen(placed(), CANCELLED)
    for order_id, tag in (("o1", '"2"'), ("o2", None)):
        found = await desk.ask(order_id)
        assert (found.headers[POSITION_HEADER], found.headers.get("ETag")) == ("order=2@one", tag)
        assert 0 <= int(found.headers[STALENESS_HEADER]) < 1000


async def test_an_answer_waits_for_its_position_and_looks_no_oftener_than_there_is_news(desk: Desk) -> None:
    await desk.happen(placed())
    waiting = desk.ask("o1", position(2), wait_s=20)
    await until(lambda: desk._reading._sources.room.inside == 1)
    for number in range(20):
        desk.news.note(Move("others", "order", number, "one", 0))
    assert desk.looks == 0
    await desk.happen(CANCELLED)
    assert (await waiting).value.state == "cancelled"
    assert desk.looks == 1


async def test_news_that_are_lost_are_made_up_for_by_a_look_now_and_then(desk: Desk) -> None:
    await desk.happen(placed())
    waiting = desk.ask("o1", position(2), wait_s=20)
    await desk.shelf.happen(orders.MODEL, ("o1", CANCELLED))
    assert (await waiting).value.state == "cancelled"


async def test_a_position_that_is_not_reached_in_time_is_not_visible_yet(desk: Desk) -> None:
    await desk.happen(placed())
    assert await desk.refusal(position(2)) == ("not-visible-yet", {})
    assert await desk.refusal(position(2), wait_s=0) == ("not-visible-yet", {})


async def test_who_waits_for_a_model_that_is_silent_does_not_ask_its_table_again_and_again(desk: Desk) -> None:
    await desk.shelf.happen(orders.MODEL, ("o1", placed()))
    assert await desk.refusal(position(2), wait_s=1) == ("not-visible-yet", {})
    assert desk.looks <= 4
    waiting = desk.ask("o1", position(2), wait_s=20)
    await until(lambda: desk._reading._sources.room.inside == 1)
    await desk.happen(CANCELLED)
    assert (await waiting).value.state == "cancelled"


async def test_news_ahead_of_the_table_are_not_believed(desk: Desk) -> None:
    await desk.happen(placed())
    desk.news.note(Move("orders", "order", 2, "one", 0))
    waiting = desk.ask("o1", position(2))
    await desk.looked()
    assert not waiting.done()
    await desk.happen(CANCELLED)
    assert (await waiting).value.state == "cancelled"


async def test_a_position_of_a_record_that_was_restored_means_nothing(desk: Desk) -> None:
    await desk.happen(placed())
    assert (await desk.ask("o1", position(1, "one"))).value.state == "placed"
    assert (await desk.refusal(position(1, "two")))[0] == "other-incarnation"


async def test_an_answer_waits_for_the_decision_and_then_for_its_position(desk: Desk) -> None:
    await desk.happen(placed())
    waiting = desk.ask("o1", After("order", "c2"))
    receipt = Receipt(context="order", command_id="c2", principal="alice", state="accepted", position=2)

    async def subscribed() -> bool:
        await desk.nc.publish("receipt.alice.order.c2", msgspec.json.encode(receipt), headers={VERSION_HEADER: VERSION})
        return desk.looks > 0 or waiting.done() or bool(desk.news._waiting)

    await until(subscribed)
    assert not waiting.done()
    await desk.happen(CANCELLED)
    assert (await waiting).value.state == "cancelled"


async def test_a_write_of_a_record_that_was_restored_does_not_pass_for_visible(desk: Desk) -> None:
    await desk.happen(placed())
    desk.receipts["c5"] = Receipt(
        context="order", command_id="c5", principal="alice", state="accepted", position=1, incarnation="two"
    )
    assert (await desk.refusal(After("order", "c5")))[0] == "other-incarnation"


async def test_a_refused_command_is_shown_by_what_it_found(desk: Desk) -> None:
    await desk.happen(placed())
    desk.receipts["c3"] = Receipt(context="order", command_id="c3", principal="alice", state="rejected", position=1)
    assert (await desk.ask("o1", After("order", "c3"))).value.state == "placed"


async def test_a_command_without_a_decision_has_no_answer_yet(desk: Desk) -> None:
    await desk.happen(placed())
    assert await desk.refusal(After("order", "silent")) == (
        "no-answer",
        {"context": "order", "command_id": "silent"},
    )
    unknown = After("order", uuid4().hex)
    members = {"context": "order", "command_id": unknown.command_id}
    assert await desk.refusal(unknown) == ("undecided", members)
    desk.receipts["c4"] = Receipt(context="order", command_id="c4", principal="alice", state="parked")
    assert (await desk.refusal(After("order", "c4")))[0] == "parked"


async def test_what_a_model_does_not_follow_is_not_waited_for(desk: Desk) -> None:
    await desk.happen(placed())
    assert (await desk.ask("o1", After("product", "c1"), After("product", position=99))).value.state == "placed"


async def test_a_state_is_waited_for_by_the_events_of_the_stream(desk: Desk) -> None:
    await desk.happen(placed())
    waiting = desk.ask("o1", wait_s=20, states="cancelled")
    await until(lambda: desk.looks == 2)  # Once, and once more with all that was recorded when it began to listen.
    headers = {VERSION_HEADER: VERSION, POSITION_HEADER: "2"}
    await desk.nc.publish("event.order.OrderCancelled.other", b"{}", headers=headers)
    await desk.nc.publish("event.order.OrderCancelled.o1", b"{}")  # Without our header: a forged reply subject.
    await desk.happen()
    assert desk.looks == 2
    await desk.nc.publish("event.order.OrderCancelled.o1", b"{}", headers=headers)
    await desk.happen(CANCELLED)
    assert (await waiting).value.state == "cancelled"


async def test_a_state_that_was_recorded_before_it_was_waited_for_is_not_missed(desk: Desk) -> None:
    await desk.happen(placed())
    desk.head = 2  # Recorded and published, and not yet visible.
    waiting = desk.ask("o1", wait_s=20, states="cancelled")
    await desk.looked()
    await desk.happen(CANCELLED)
    assert (await asyncio.wait_for(waiting, 0.4)).value.state == "cancelled"


@pytest.mark.parametrize("recorded_after_s", [0.3, 0.7, 0.9])
async def test_a_wait_lasts_as_long_as_it_was_wished(desk: Desk, recorded_after_s: float) -> None:
    await desk.happen(placed())
    waiting = desk.ask("o1", wait_s=1, states="cancelled")
    await desk.looked()
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(asyncio.shield(waiting), recorded_after_s)
    for number in range(2, 5):
        headers = {VERSION_HEADER: VERSION, POSITION_HEADER: str(number)}
        await desk.nc.publish("event.order.Something.o1", b"{}", headers=headers)
    await desk.happen(CANCELLED, CANCELLED, CANCELLED)
    assert (await waiting).value.state == "cancelled"


async def test_a_state_that_is_there_is_not_waited_for(desk: Desk) -> None:
    await desk.happen(placed())
    assert (await desk.ask("o1", wait_s=20, states="placed cancelled")).value.state == "placed"


async def test_a_state_that_is_not_reached_in_time_is_answered_with_the_present_one(desk: Desk) -> None:
    assert await desk.refusal(states="placed") == ("state-not-reached", {"state": None})
    await desk.happen(placed())
    assert await desk.refusal(states="cancelled") == ("state-not-reached", {"state": "placed"})


async def test_no_more_may_wait_than_there_is_room_for(shelf: Shelf, nc: Client) -> None:
    desk = Desk(shelf, nc, most=4)  # Of which one principal may have one.
    await desk.happen(placed())
    waiting = desk.ask("o1", position(2), wait_s=20)
    await until(lambda: desk._reading._sources.room.inside == 1)
    assert (await desk.refusal(position(2)))[0] == "too-many-waiting"
    assert (await desk.ask("o1")).value.state == "placed"
    await desk.happen(CANCELLED)
    await waiting
    assert desk._reading._sources.room.inside == 0
