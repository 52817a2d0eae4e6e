"""Many commands through one door: each is sent until it is known to be stored."""

from collections.abc import Callable
from typing import Any

import click
import pytest

from common.bus.denials import NotPermitted
from common.bus.outgoing import OutcomeUnknown
from common.messages import Command
from contexts.customer.commands import RegisterCustomer
from contexts.delivery.commands import DispatchDelivery
from contexts.order.commands import CancelOrder
from contexts.stock.commands import Goods, ReceiveStock
from gateway.cli import sending
from gateway.cli.keepalive import Reply
from gateway.cli.sending import NotNow, Send, Wish, checked, each_of, path_of, send_all

WISHES = [Wish(f"c{n}", CancelOrder(f"o{n}", "late")) for n in range(10)]


def note(wish: Wish[Any]) -> None:
    """Nobody wants to know."""


def taking(sent: list[str], trouble: Callable[[int], Exception | None]) -> Send:
    """A door that notes what it takes, and at its n-th call may have some trouble instead."""
    calls = 0

    async def send(wish: Wish[Any]) -> None:
        nonlocal calls
        calls += 1
        if error := trouble(calls):
            raise error
        sent.append(wish.command_id)

    return send


@pytest.mark.parametrize(
    ("command", "path"),
    [
        (RegisterCustomer("ada", "Ada Miller", "ada@example.org"), "/customers/ada"),
        (ReceiveStock("s1", (Goods("bread", 1),)), "/stock/s1/receive"),
        (DispatchDelivery("o1"), "/deliveries/o1/dispatch"),
    ],
)
def test_a_command_is_posted_where_its_door_is(command: Command, path: str) -> None:
    assert path_of(command) == path


async def test_all_are_sent_and_each_is_counted() -> None:
    sent, steps = list[str](), list[Wish[Any]]()
    await send_all(each_of(WISHES), taking(sent, lambda call: None), "http", steps.append)
    assert {wish.command_id for wish in steps} == set(sent)
    assert sorted(sent) == sorted(wish.command_id for wish in WISHES)


@pytest.mark.parametrize("trouble", [NotNow("later"), OutcomeUnknown("no answer"), ConnectionError("lost")])
async def test_what_was_not_taken_is_sent_again(trouble: Exception) -> None:
    sent = list[str]()
    await send_all(each_of(WISHES), taking(sent, lambda call: trouble if call == 3 else None), "http", note)
    assert sorted(sent) == sorted(wish.command_id for wish in WISHES)


async def test_when_nothing_is_taken_for_long_it_gives_up_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sending, "PATIENCE_S", 0.0)
    with pytest.raises(click.ClickException, match="nothing is taken for 0 s: the stream is full"):
        await send_all(each_of(WISHES), taking([], lambda call: NotNow("the stream is full")), "http", note)


async def test_a_principal_that_lacks_a_role_is_told_how_it_gets_it() -> None:
    no = NotPermitted("replay may not send ReceiveStock to stock")
    with pytest.raises(click.ClickException, match="`daybook key replay --add`"):
        await send_all(each_of(WISHES), taking([], lambda call: no), "nats", note)
    with pytest.raises(click.ClickException, match="`daybook key replay --add`"):
        checked(Reply(403, {}, b"ReceiveStock takes one of the roles: warehouse"))


def test_the_gateways_answer_says_whether_it_is_taken_or_to_be_sent_again_or_neither() -> None:
    checked(Reply(202, {}, b""))
    for status in (429, 503, 504):
        with pytest.raises(NotNow):
            checked(Reply(status, {}, b"later"))
    with pytest.raises(click.ClickException, match="the gateway answers 400: malformed"):
        checked(Reply(400, {}, b"malformed"))
