"""How a customer rests between decisions: sealed, and with a snapshot once she has ordered often."""

from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import pytest_asyncio
from msgspec import to_builtins
from msgspec.structs import replace

from common.config import Settings
from common.erasure import destroy_key
from common.store.load import Loader, Wanted
from contexts.customer.decider import Customer, Stage
from contexts.customer.wiring import CONTEXT
from tests.customer import HOME
from tests.shell.conftest import Desk, open_desk

EVERY = 5
numbers = count(1)
ADA = {"name": "Ada Miller", "email": "ada@example.org", "address": to_builtins(HOME)}


@pytest_asyncio.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    """Customer under a name of its own, with a snapshot every few events."""
    assert CONTEXT.snapshot
    snapshot = replace(CONTEXT.snapshot, every=EVERY)
    async with open_desk(settings, replace(CONTEXT, name=f"buyers{next(numbers)}", snapshot=snapshot)) as made:
        yield made


async def register(desk: Desk, person: str, **changed: Any) -> str:
    """The state of the receipt."""
    command_id = f"r{next(numbers)}"
    message = desk.message(person, "RegisterCustomer", command_id, principal="storefront", **ADA | changed)
    return (await desk.settle(message))[command_id].state


async def order(desk: Desk, person: str, times: int) -> None:
    for n in range(times):
        fields = {"order_id": f"o{n}", "at": "2026-03-01T12:00:00Z"}
        await desk.settle(desk.message(person, "AdmitOrder", f"a{next(numbers)}", principal=desk.name, **fields))
    await desk.worker.snapshots.take()


async def loaded(desk: Desk, person: str) -> tuple[Customer, int]:
    """The customer as a worker that knows nothing loads it, and how many events it had to fold."""
    found = await Loader(desk.context).load(desk.pool, Wanted([], [person], [], [], []))
    return found.states[person].state, found.states[person].since


async def test_who_orders_often_is_not_folded_from_her_first_event(desk: Desk) -> None:
    person = f"ada-{desk.name}"
    assert await register(desk, person) == "accepted"
    before, _ = await loaded(desk, person)
    await order(desk, person, EVERY)
    assert await loaded(desk, person) == (before, 1)
    assert before.stage == Stage.REGISTERED


async def test_the_state_that_is_kept_at_hand_holds_nothing_open(desk: Desk) -> None:
    person = f"ada-{desk.name}"
    await register(desk, person)
    kept = desk.worker._cache.get(person, desk.leases.held["0"].epoch)
    assert kept and kept.state.contact.sealed and kept.state.address.sealed
    assert (kept.state.contact.value, kept.state.address.value) == (None, None)


async def test_events_claims_and_snapshots_hold_nothing_in_clear(desk: Desk) -> None:
    person = f"ada-{desk.name}"
    await register(desk, person)
    assert await register(desk, f"ben-{desk.name}", email="ADA@EXAMPLE.ORG") == "rejected"
    await order(desk, person, EVERY)
    for table in ("events", "claims", "snapshots", "receipts"):
        rows = [row["text"] for row in await desk.owner.fetch(f'SELECT t::text AS text FROM "{desk.name}".{table} t')]
        assert rows
        assert not [row for row in rows if "Miller" in row or "example.org" in row.lower() or "Elm" in row]


async def test_an_erased_customer_still_folds_and_is_still_decided_on(desk: Desk, settings: Settings) -> None:
    person = f"ada-{desk.name}"
    await register(desk, person)
    before, _ = await loaded(desk, person)
    await destroy_key(settings.keys_dsn(), person)
    desk.vault._cache.clear()
    desk.worker.forget()
    assert (await loaded(desk, person))[0] == before
    await order(desk, person, EVERY)
    assert (await loaded(desk, person))[0] == before
    assert await register(desk, f"ben-{desk.name}") == "rejected"
    closing = desk.message(person, "CloseAccount", "close", principal="storefront")
    assert (await desk.settle(closing))["close"].state == "accepted"
    assert await register(desk, f"ben-{desk.name}") == "accepted"
