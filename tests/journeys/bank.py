"""A payment provider whose answers are chosen, and which notices when it is asked for what must not be."""

from collections.abc import AsyncIterator
from typing import Any

from common.messages import Command, Event
from contexts.payment.provider import ProviderAnswer, ProviderCall, Verb, asking


class Bank:
    """Moves money once for each key and then always says the same of it; it may be silent, or say things twice.

    `ledger` holds the calls that moved money, by key, and whose payment it was.
    """

    def __init__(self) -> None:
        self.ledger: dict[str, tuple[str, ProviderCall]] = {}
        self._said: dict[str, ProviderAnswer] = {}
        self._ask = asking(self)
        self._now: tuple[str, bool, int] = ("", True, 1)
        self._asked = 0

    def told(self, key: str, order: str, event: Event, well: bool, times: int) -> list[Command] | None:
        """What becomes of a call: its answers, so many `times`; None when there is none, and it is to be asked again.

        `well` says whether it is done; only the first time, since then that is so.
        """
        before, self._now = self._asked, (order, well, times)
        answers = said(self._ask, key, order, event)
        return answers if answers or self._asked == before else None

    async def answers(self, call: ProviderCall) -> AsyncIterator[ProviderAnswer]:
        order, well, times = self._now
        self._asked += 1
        if call.key not in self._said:
            self._said[call.key] = self._done(call, order) if well else ProviderAnswer(reason="not today")
        for _ in range(times):
            yield self._said[call.key]

    def _done(self, call: ProviderCall, order: str) -> ProviderAnswer:
        self._check(call, order)
        self.ledger[call.key] = order, call
        return ProviderAnswer(reference=f"{call.verb}-{call.key}")

    def _check(self, call: ProviderCall, order: str) -> None:
        """What no bank lets happen must never be asked of one."""
        assert call.amount > 0, f"asked to {call.verb} nothing"
        if call.verb == "authorise":
            assert not self.moved("authorise", order), f"asked twice to set money aside for {order}"
            return
        verb, _, key = call.about.partition("-")
        assert key in self.ledger, f"asked to {call.verb} what it does not know"
        owner, about = self.ledger[key]
        assert (owner, about.verb) == (order, verb), f"asked to {call.verb} what is not of {order}"
        match call.verb:
            case "capture":
                free = about.amount - self.moved("capture", order) - self.moved("void", order)
                assert verb == "authorise" and call.amount <= free, "asked to take more than is set aside"
            case "void":
                free = about.amount - self.moved("capture", order) - self.moved("void", order)
                assert verb == "authorise" and call.amount <= free, "asked to let go of more than is set aside"
            case _:
                free = about.amount - self.moved("refund", order)
                assert verb == "capture" and call.amount <= free, "asked to pay back more than was taken"

    def moved(self, verb: Verb, order: str) -> int:
        """How much of an order's money was moved in this way."""
        return sum(call.amount for whose, call in self.ledger.values() if (whose, call.verb) == (order, verb))


def said(ask: Any, key: str, order: str, event: Event) -> list[Command]:
    """The answers to one call, which wait for nothing."""

    async def all_of_them() -> list[Command]:
        return [answer async for answer in ask(key, order, event)]

    try:
        all_of_them().send(None)
    except StopIteration as end:
        answers: list[Command] = end.value
        return answers
    raise AssertionError("the bank waits for something")
