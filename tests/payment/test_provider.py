"""The simulated provider does what the payment method says, and moves money once for each key."""

import asyncio
from typing import Any

import pytest
from msgspec.structs import replace

from common.client import body_of
from common.codec import CommandCodec
from common.messages import Command, Rejected
from contexts.payment.commands import REASON_LENGTH, RecordAuthorisation, RecordCapture, RecordRefund, RecordVoid
from contexts.payment.events import VoidRequested
from contexts.payment.provider import ProviderAnswer, ProviderCall, Requested, SimulatedProvider, Verb, asking, recorded
from tests.payment import CAPTURING, ENDED, JAM, REQUESTED, VOIDING, refunding


def call(method: str, verb: Verb = "authorise", key: str = "k1") -> ProviderCall:
    return ProviderCall(key, verb, 500, "USD", method)


async def said(provider: SimulatedProvider, asked: ProviderCall) -> list[tuple[str, str]]:
    """The answers: reference and reason of each."""
    return [(answer.reference, answer.reason) async for answer in provider.answers(asked)]


async def test_asked_again_with_the_same_key_it_says_the_same_and_moves_the_money_once() -> None:
    provider = SimulatedProvider()
    assert await said(provider, call("pm_ok")) == await said(provider, call("pm_ok")) == [("authorise-k1", "")]
    await said(provider, call("pm_ok", key="k2"))
    assert provider.moved("authorise") == 1000


async def test_a_restarted_provider_says_the_same() -> None:
    assert await said(SimulatedProvider(), call("pm_ok")) == await said(SimulatedProvider(), call("pm_ok"))


async def test_what_is_declined_or_unknown_moves_no_money() -> None:
    provider = SimulatedProvider()
    assert await said(provider, call("pm_declined")) == [("", "declined")]
    assert await said(provider, call("bitcoin")) == [("", "unknown payment method")]
    assert provider.moved("authorise") == 0


async def test_the_slow_one_answers_after_a_while() -> None:
    began = asyncio.get_running_loop().time()
    assert await said(SimulatedProvider(slow_s=0.05), call("pm_slow")) == [("authorise-k1", "")]
    assert asyncio.get_running_loop().time() - began >= 0.05


async def test_the_silent_one_does_what_it_is_asked_and_says_so_when_it_is_asked_again() -> None:
    provider = SimulatedProvider()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await said(provider, call("pm_silent"))
    assert provider.moved("authorise") == 500
    assert await said(provider, call("pm_silent")) == [("authorise-k1", "")]
    assert provider.moved("authorise") == 500


async def test_one_says_everything_twice() -> None:
    assert await said(SimulatedProvider(), call("pm_twice")) == [("authorise-k1", "")] * 2


async def test_one_sets_money_aside_and_does_not_give_it() -> None:
    provider = SimulatedProvider()
    assert await said(provider, call("pm_capture_fails")) == [("authorise-k1", "")]
    assert await said(provider, call("pm_capture_fails", "capture", "k2")) == [("", "the money is not there any more")]
    assert await said(provider, call("pm_capture_fails", "void", "k3")) == [("void-k3", "")]


async def test_it_remembers_the_latest_calls_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("contexts.payment.provider.REMEMBERED", 3)
    provider = SimulatedProvider()
    for n in range(5):
        await said(provider, call("pm_ok", key=str(n)))
    assert list(provider.ledger) == ["2", "3", "4"]


@pytest.mark.parametrize(
    ("event", "command"),
    [
        (REQUESTED, RecordAuthorisation("o1", "authorised", "authorise-k1")),
        (CAPTURING, RecordCapture("o1", "captured", "capture-k1")),
        (VOIDING, RecordVoid("o1", "voided", "void-k1")),
        (refunding(2, JAM), RecordRefund("o1", 2, "refunded", "refund-k1")),
    ],
)
async def test_what_was_done_is_recorded(event: Requested, command: Command) -> None:
    provider = SimulatedProvider()
    assert [each async for each in asking(provider)("k1", "o1", event)] == [command]
    assert provider.ledger["k1"].amount == event.amount


@pytest.mark.parametrize(
    ("event", "command"),
    [
        (REQUESTED, RecordAuthorisation("o1", "declined", reason="declined")),
        (CAPTURING, RecordCapture("o1", "failed", reason="declined")),
        (VOIDING, RecordVoid("o1", "failed", reason="declined")),
        (refunding(2, JAM), RecordRefund("o1", 2, "failed", reason="declined")),
    ],
)
async def test_what_was_not_done_is_recorded_with_its_reason(event: Requested, command: Command) -> None:
    ask = asking(SimulatedProvider())
    assert [each async for each in ask("k1", "o1", replace(event, method="pm_declined"))] == [command]


async def test_a_capture_that_is_asked_again_is_recorded_under_its_number() -> None:
    said = [each async for each in asking(SimulatedProvider())("k2", "o1", replace(CAPTURING, attempt=2))]
    assert said == [RecordCapture("o1", "captured", "capture-k2", attempt=2)]


@pytest.mark.parametrize(
    ("reason", "read"),
    [
        ("no\0 money\n\x1b[31m", "no money [31m"),
        ("x" * 100_000, "x" * REASON_LENGTH),
        ("half \ud800", "half"),
        ("für später", "für später"),
    ],
)
async def test_a_reason_is_kept_as_people_read_it(reason: str, read: str) -> None:
    for event in (REQUESTED, CAPTURING, VOIDING, refunding(1, JAM)):
        command: Any = recorded("o1", event, ProviderAnswer(reason=reason))
        assert command.reason == read
        assert CommandCodec(type(command)).decode("o1", body_of(command)) == command


@pytest.mark.parametrize("reference", ["c" * 201, "c\0"])
def test_a_reference_that_cannot_be_kept_whole_is_refused_and_not_cut(reference: str) -> None:
    command = recorded("o1", CAPTURING, ProviderAnswer(reference=reference))
    with pytest.raises(Rejected, match=r"\$.reference"):
        CommandCodec(type(command)).decode("o1", body_of(command))


async def test_what_has_no_authorisation_yet_is_not_asked_to_be_let_go() -> None:
    provider = SimulatedProvider()
    early = VoidRequested(amount=500, currency="USD", method="pm_ok", authorisation="", at=ENDED)
    assert [each async for each in asking(provider)("k1", "o1", early)] == []
    assert not provider.ledger
