"""What differs while things move is asked again; who is away is waited for; who lags for good is named."""

import time
from collections import deque
from collections.abc import Sequence
from typing import Any, cast

import click
import msgspec
import pytest

from common.client import Client
from common.lag import ContextLag, LagAnswer, ModelLag, ProcessLag
from common.questions import NoAnswer, QueryRefused
from gateway.cli.baskets import Baskets
from gateway.cli.keepalive import KeepAlive, Reply
from gateway.cli.replay import in_words
from gateway.cli.year import agreeing
from gateway.cli.year import system as reaching
from gateway.cli.year.agreeing import agreed
from gateway.cli.year.asking import by_http, by_nats
from gateway.cli.year.comparing import Comparison, Difference
from gateway.cli.year.sums import Odd
from gateway.cli.year.system import Places, System
from gateway.cli.year.views import Views
from projectors.sales import GetSales

ODD = Odd(*[0] * 9)
PATIENCE_S = 0.2
ONE = [Difference("", "", "orders", 2, 1)]


class Shop:
    """Differs in these ways, one after the other, and comes to rest at these places; at None it does not."""

    def __init__(self, found: Sequence[list[Difference]], places: Sequence[int | None] = ()) -> None:
        self.found, self.places = deque(found), deque(places)

    async def compare(self, year: Any, system: Any, deliver: bool) -> Comparison:
        return Comparison([], self.found.popleft(), {}, ODD)

    async def caught_up(self) -> None:
        """It always has."""

    async def at_rest(self, until: float) -> Places | None:
        place = self.places.popleft()
        return None if place is None else {("orders", "order"): place}


async def outcome(monkeypatch: pytest.MonkeyPatch, shop: Shop) -> Comparison:
    monkeypatch.setattr(agreeing, "compare", shop.compare)
    found = await agreed(cast(Baskets, None), cast(System, shop), deliver=False)
    assert not shop.found and not shop.places
    return found


async def test_without_a_difference_nothing_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await outcome(monkeypatch, Shop([[]]))).differences == []


async def test_a_difference_that_came_of_movement_is_gone_when_all_is_at_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (await outcome(monkeypatch, Shop([ONE, ONE, []], [7, 8]))).differences == []


async def test_a_difference_counts_when_nothing_moved_while_it_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    found = await outcome(monkeypatch, Shop([ONE, ONE, ONE], [7, 8, 8]))
    assert (found.differences, found.moving) == (ONE, False)
    assert "moved" not in in_words(found)


async def test_when_orders_never_rest_the_differences_are_said_to_be_of_a_moving_system(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    found = await outcome(monkeypatch, Shop([ONE, ONE], [7, None]))
    assert (found.differences, found.moving) == (ONE, True)
    assert "orders still moved after 60 s" in in_words(found)


def view(projected: Any, head: Any, name: str = "orders", context: str = "order") -> ModelLag:
    return ModelLag(
        model=name, context=context, state="live", error="", projected=projected, head=head, events=0, ms=0,
        p50_ms=None, p95_ms=None, p99_ms=None, max_ms=None, n=0, hops={}, heard_s=0.1,
    )  # fmt: skip


def lag(*views: ModelLag, events: Any = 0) -> LagAnswer:
    """How far these views are, in contexts whose heads are theirs. Reactions are so many events behind."""
    heads = {each.context: each.head for each in views}
    contexts = [
        ContextLag(context=name, head=head, incarnation="", recorded_at=None, oldest_snapshot_ms=0.0)
        for name, head in heads.items()
    ]
    reactions = ProcessLag(
        kind="reactions", name="stock", context="order", state="live", error="", heard_s=0.1, events=events
    )
    return LagAnswer(list(views), contexts, [reactions])


class Answers:
    """Answers with one after the other, at last always the same; an error is raised."""

    def __init__(self, *answers: Any) -> None:
        self.answers = deque(answers)

    async def ask(self, *_: Any) -> Any:
        answer = self.answers.popleft() if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return msgspec.to_builtins(answer)

    ask_named = ask


class Door:
    """Answers with a status."""

    def __init__(self, status: int) -> None:
        self.status = status

    async def get(self, path: str) -> Reply:
        return Reply(self.status, {}, b"{}" if self.status < 500 else b"Bad Gateway")


def system(*told: Any, answers: Answers | None = None) -> System:
    return System(cast(Client, answers or Answers(*told)), cast(Views, None), cast(Any, None), cast(Any, None), "nats")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looks without a pause, and is patient for a moment only."""
    monkeypatch.setattr(reaching, "LOOK_S", 0.0)
    monkeypatch.setattr(reaching, "REST_S", 0.02)
    monkeypatch.setattr(reaching, "PATIENCE_S", PATIENCE_S)


async def test_a_head_that_nobody_knew_at_first_is_taken_once_it_is_known() -> None:
    there = system(lag(view(5, "unknown")), NoAnswer(), lag(view(5, 7)), lag(view(7, 9)))
    await there.caught_up()


async def test_views_that_do_not_catch_up_are_named_whatever_the_others_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reaching, "LOOK_S", 0.01)
    stands = view(3, 7, "stock_levels", "stock")
    answers = Answers(*(lag(stands, view(n, n)) for n in range(1_000)))
    with pytest.raises(click.ClickException, match=r"not caught up: stock_levels at 3 of 7 of stock"):
        await system(answers=answers).caught_up()
    assert len(answers.answers) > 1


async def test_as_long_as_a_view_that_lacks_something_comes_further_it_is_waited_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    begun = time.monotonic()
    monkeypatch.setattr(reaching, "LOOK_S", 0.05)
    await system(*(lag(view(n, 9)) for n in range(10))).caught_up()
    assert time.monotonic() - begun > 2 * PATIENCE_S


async def test_when_nobody_says_how_far_they_are_that_is_said() -> None:
    with pytest.raises(click.ClickException, match="nobody says how far any has come"):
        await system(NoAnswer()).caught_up()


ON_THE_WAY = [
    lag(view(6, 7)),
    lag(view("unknown", 7)),
    lag(view(7, 7), events=1),
    lag(view(7, 7), events="unknown"),
    NoAnswer(),
]


@pytest.mark.parametrize("answer", ON_THE_WAY)
async def test_as_long_as_anything_is_on_its_way_it_is_not_at_rest(answer: Any) -> None:
    assert await system(answer).at_rest(time.monotonic() + 0.1) is None
    assert await system(answer, lag(view(7, 7))).at_rest(time.monotonic() + 10) == {("orders", "order"): 7}


async def test_no_answer_is_not_taken_for_nothing_accepted_where_it_matters() -> None:
    for silent in (NoAnswer("nobody"), QueryRefused(503, {})):
        assert await system(silent).answered("stock", ["a"]) == ()
        with pytest.raises(NoAnswer):
            await system(silent).accepted("stock", ["a"])
    receipts = {"a": {"state": "accepted"}, "b": {"state": "rejected", "code": "no"}}
    assert await system(receipts).accepted("stock", ["a", "b"]) == {"a"}
    assert await system(receipts).refused("stock", ["a", "b"]) == {"b": "no"}


@pytest.mark.parametrize(("status", "raised"), [(503, NoAnswer), (502, NoAnswer), (400, QueryRefused)])
async def test_who_is_away_has_not_answered_by_either_door(status: int, raised: type[Exception]) -> None:
    query = GetSales(by="day")
    with pytest.raises(raised):
        await by_http(cast(KeepAlive, Door(status)))(query)
    with pytest.raises(raised):
        await by_nats(cast(Client, Answers(QueryRefused(status, {}))))(query)
