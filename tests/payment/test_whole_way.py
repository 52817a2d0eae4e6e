"""A payment on real servers: asked for as the order asks, answered by the simulated provider, and shown."""

from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest
import pytest_asyncio
from nats.aio.client import Client

from common.bus.connect import connect
from common.client import body_of
from common.codec import command_key
from common.messages import Command
from common.recorded import COMMAND_ID_HEADER, VERSION, VERSION_HEADER, derived_id
from common.subjects import command_subject
from contexts.payment.commands import CapturePayment, RefundLine, RefundPayment, RequestPayment, VoidPayment
from tests.payment import ENDED, SENT, SOLD
from tests.servers import System, until


class Counter:
    """Where payments are asked for, and looked at."""

    def __init__(self, system: System, nc: Client, http: httpx.AsyncClient) -> None:
        self.system, self._nc, self._http = system, nc, http

    async def ask(self, command: Command) -> None:
        """As order's reactions do."""
        kind, key = type(command).__name__, command_key(command)
        headers = {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: derived_id(kind, key)}
        subject = command_subject("order", "payment", key, kind)
        await self._nc.jetstream().publish(subject, body_of(command), headers=headers)

    async def request(self, order_id: str, method: str, amount: int = 500) -> None:
        await self.ask(RequestPayment(order_id, amount, "USD", method, SOLD))

    async def payment(self, order_id: str) -> dict[str, Any]:
        """The payment as it is shown; empty when there is none."""
        reply = await self._http.get(f"/payments/{order_id}")
        return reply.json() if reply.status_code == 200 else {}

    async def becomes(self, order_id: str, state: str) -> dict[str, Any]:
        """The payment once it is in this state."""
        found: dict[str, Any] = {}

        async def reached() -> bool:
            nonlocal found
            found = await self.payment(order_id)
            return bool(found.get("state") == state)

        await until(reached, what=f"{order_id} to be {state}")
        return found

    async def happened(self, order_id: str) -> list[str]:
        """The types of the events of a payment, in their order."""
        reply = await self._http.get(f"/payments/{order_id}/history")
        return [each["type"] for each in reply.json()["events"]]

    async def effects(self) -> dict[str, Any]:
        """How the effects of payment are."""
        processes = (await self._http.get("/consistency-lag")).json()["processes"]
        found = [each for each in processes if (each["kind"], each["name"]) == ("effects", "payment")]
        return found[0] if found else {}


@pytest_asyncio.fixture(scope="module")
async def counter(system: System) -> AsyncIterator[Counter]:
    nc = await connect(system.settings, "context-order")
    headers = {"X-API-Key": system.settings.api_key("operator")}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=10, trust_env=False) as http:
        yield Counter(system, nc, http)
    await nc.close()


@pytest.mark.parametrize("method", ["pm_ok", "pm_slow", "pm_silent", "pm_twice"])
async def test_money_is_set_aside_taken_and_paid_back_once_however_the_provider_answers(
    counter: Counter, method: str
) -> None:
    order = f"whole-{method}"
    await counter.request(order, method)
    assert (await counter.becomes(order, "authorised"))["authorised"] == 500
    await counter.ask(CapturePayment(order, SENT))
    assert (await counter.becomes(order, "captured"))["captured"] == 500
    lines = (RefundLine("tea", 2, 300), RefundLine("jam", 1, 200))
    await counter.ask(RefundPayment(order, lines, "returned", True, ENDED))
    assert (await counter.becomes(order, "refunded"))["refunded"] == 500
    assert await counter.happened(order) == [
        "AuthorisationRequested",
        "PaymentAuthorised",
        "CaptureRequested",
        "PaymentCaptured",
        "RefundRequested",
        "PaymentRefunded",
    ]


async def test_what_is_declined_moves_no_money(counter: Counter) -> None:
    await counter.request("declined-1", "pm_declined")
    found = await counter.becomes("declined-1", "declined")
    assert (found["failure"], found["authorised"]) == ("declined", 0)


async def test_money_that_does_not_come_is_shown_as_a_failure(counter: Counter) -> None:
    await counter.request("failing-1", "pm_capture_fails")
    await counter.becomes("failing-1", "authorised")
    await counter.ask(CapturePayment("failing-1", SENT))
    assert (await counter.becomes("failing-1", "capture-failed"))["captured"] == 0


async def test_an_operator_asks_again_for_money_that_did_not_come(counter: Counter) -> None:
    await counter.request("failing-2", "pm_capture_fails")
    await counter.becomes("failing-2", "authorised")
    await counter.ask(CapturePayment("failing-2", SENT))
    await counter.becomes("failing-2", "capture-failed")
    headers = {"X-API-Key": counter.system.settings.api_key("operator"), "Prefer": "wait=10"}
    async with httpx.AsyncClient(base_url=counter.system.url, headers=headers, timeout=20, trust_env=False) as http:
        assert (await http.post("/payments/failing-2/capture", json={})).status_code == 200

    async def failed_again() -> bool:
        return await counter.happened("failing-2") == [
            "AuthorisationRequested",
            "PaymentAuthorised",
            *("CaptureRequested", "CaptureFailed") * 2,
        ]

    await until(failed_again)


async def test_money_is_let_go_even_when_that_is_asked_before_it_was_set_aside(counter: Counter) -> None:
    await counter.request("early-1", "pm_slow")
    await counter.ask(VoidPayment("early-1", ENDED))
    await counter.becomes("early-1", "voided")
    expected = ["AuthorisationRequested", "VoidRequested", "PaymentAuthorised", "VoidRequested", "PaymentVoided"]
    assert await counter.happened("early-1") == expected


async def test_a_process_that_is_killed_while_the_provider_thinks_loses_no_answer(counter: Counter) -> None:
    orders = [f"killed-{n}" for n in range(20)]
    for order in orders:
        await counter.request(order, "pm_slow")
    for order in orders:
        await counter.becomes(order, "requested")
    await counter.system.kill_and_wait("context-payment")
    for order in orders:
        await counter.becomes(order, "authorised")
        assert await counter.happened(order) == ["AuthorisationRequested", "PaymentAuthorised"]


async def test_the_lag_shows_how_many_calls_are_open(counter: Counter) -> None:
    async def live() -> bool:
        found = await counter.effects()
        return bool(found and found["state"] == "live" and found["said"]["open"] == 0 and found["events"] == 0)

    await until(live)
    await counter.request("open-1", "pm_slow")

    async def shown() -> bool:
        found = await counter.effects()
        return bool(found and found["said"]["open"] == 1 and found["events"] >= 1)

    await until(shown)
    await until(live)


async def test_an_operator_pays_a_part_back_over_http(counter: Counter) -> None:
    await counter.request("part-1", "pm_ok")
    await counter.becomes("part-1", "authorised")
    await counter.ask(CapturePayment("part-1", SENT))
    await counter.becomes("part-1", "captured")
    headers = {"X-API-Key": counter.system.settings.api_key("operator"), "Prefer": "wait=10"}
    body = {"lines": [{"sku": "tea", "quantity": 1, "amount": 150}], "reason": "spoiled"}
    async with httpx.AsyncClient(base_url=counter.system.url, headers=headers, timeout=20, trust_env=False) as http:
        assert (await http.post("/payments/part-1/refund", json=body)).status_code == 200
        too_much = await http.post(
            "/payments/part-1/refund", json=body | {"lines": [{"sku": "tea", "quantity": 9, "amount": 351}]}
        )
        assert (too_much.status_code, too_much.json()["code"]) == (409, "payment.refund-exceeds")

    async def paid() -> bool:
        return bool((await counter.payment("part-1")).get("refunded") == 150)

    await until(paid)
