"""The payment provider: how it is asked, and one that is simulated. The only module of payment that reaches outside.

To use another provider, write its `answers` and name it at the end of this module.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from typing import Literal, Protocol, assert_never

from msgspec import Struct

from common.messages import Command
from contexts.payment.commands import REASON_LENGTH, RecordAuthorisation, RecordCapture, RecordRefund, RecordVoid
from contexts.payment.events import AuthorisationRequested, CaptureRequested, RefundRequested, VoidRequested

Verb = Literal["authorise", "capture", "void", "refund"]
Requested = AuthorisationRequested | CaptureRequested | VoidRequested | RefundRequested
Ask = Callable[[str, str, Requested], AsyncIterator[Command]]


class ProviderCall(Struct, frozen=True):
    """What a provider is asked. `about` is its own name for what it did before and this is about."""

    key: str
    verb: Verb
    amount: int
    currency: str
    method: str
    about: str = ""


class ProviderAnswer(Struct, frozen=True):
    """What it says: done, under a name of its own (`reference`), or not done, for a `reason`."""

    reference: str = ""
    reason: str = ""


class Provider(Protocol):
    """Moves money once for each key, however often it is asked. May answer late, not at all, or more than once."""

    def answers(self, call: ProviderCall) -> AsyncIterator[ProviderAnswer]: ...


def asking(provider: Provider) -> Ask:
    """The effect of payment: what was requested is asked of this provider, and what it says is recorded."""

    async def ask(key: str, stream: str, event: Requested) -> AsyncIterator[Command]:
        if isinstance(event, VoidRequested) and not event.authorisation:
            return  # Whether there is anything to let go is not known yet.
        async for answer in provider.answers(called(key, event)):
            yield recorded(stream, event, answer)

    return ask


def called(key: str, event: Requested) -> ProviderCall:
    """What the provider is asked because of an event."""
    match event:
        case AuthorisationRequested():
            return ProviderCall(key, "authorise", event.amount, event.currency, event.method)
        case CaptureRequested():
            return ProviderCall(key, "capture", event.amount, event.currency, event.method, event.authorisation)
        case VoidRequested():
            return ProviderCall(key, "void", event.amount, event.currency, event.method, event.authorisation)
        case RefundRequested():
            return ProviderCall(key, "refund", event.amount, event.currency, event.method, event.capture)
        case _:
            assert_never(event)


def recorded(stream: str, event: Requested, answer: ProviderAnswer) -> Command:
    """The command by which payment takes note of an answer."""
    done, reference, reason = bool(answer.reference), answer.reference, readable(answer.reason)
    match event:
        case AuthorisationRequested():
            return RecordAuthorisation(stream, "authorised" if done else "declined", reference, reason)
        case CaptureRequested(attempt=attempt):
            return RecordCapture(stream, "captured" if done else "failed", reference, reason, attempt)
        case VoidRequested():
            return RecordVoid(stream, "voided" if done else "failed", reference, reason)
        case RefundRequested(refund=number):
            return RecordRefund(stream, number, "refunded" if done else "failed", reference, reason)
        case _:
            assert_never(event)


def readable(reason: str) -> str:
    """A reason as people read it: what cannot be shown is left out, and what is endless is cut."""
    shown = "".join(letter if letter.isprintable() else " " for letter in reason[: 2 * REASON_LENGTH])
    return " ".join(shown.split())[:REASON_LENGTH]


SLOW_S = 1.5
REMEMBERED = 100_000
"""How many calls the simulated provider remembers, the last ones, to tell a repeat and for its ledger."""


class SimulatedProvider:
    """A provider that does what the payment method says:

    `pm_ok` answers, `pm_declined` is declined, `pm_slow` answers after `slow_s` seconds, `pm_silent` does what it is
    asked and says so only when it is asked again, `pm_twice` says everything twice, `pm_capture_fails` sets money aside
    and does not give it. Others are unknown and declined. What it did carries a name made of the key, so a repeat has
    the same answer also after a restart. `ledger` holds the calls that moved money, by key.
    """

    def __init__(self, slow_s: float = SLOW_S) -> None:
        self.ledger: OrderedDict[str, ProviderCall] = OrderedDict()
        self._slow_s = slow_s

    async def answers(self, call: ProviderCall) -> AsyncIterator[ProviderAnswer]:
        repeated = call.key in self.ledger
        answer = self._settled(call)
        match call.method:
            case "pm_slow":
                await asyncio.sleep(self._slow_s)
            case "pm_silent" if not repeated:
                await asyncio.Event().wait()
            case "pm_twice":
                yield answer
        yield answer

    def _settled(self, call: ProviderCall) -> ProviderAnswer:
        if reason := refusal(call):
            return ProviderAnswer(reason=reason)
        self.ledger.setdefault(call.key, call)
        while len(self.ledger) > REMEMBERED:
            self.ledger.popitem(last=False)
        return ProviderAnswer(reference=f"{call.verb}-{call.key}")

    def moved(self, verb: Verb) -> int:
        """How much money was moved in this way."""
        return sum(call.amount for call in self.ledger.values() if call.verb == verb)


METHODS = ("pm_ok", "pm_slow", "pm_silent", "pm_twice", "pm_capture_fails")


def refusal(call: ProviderCall) -> str:
    """Why a call is refused; empty when it is not."""
    if call.method == "pm_declined":
        return "declined"
    if call.method not in METHODS:
        return "unknown payment method"
    if call.method == "pm_capture_fails" and call.verb == "capture":
        return "the money is not there any more"
    return ""


ask = asking(SimulatedProvider())
