"""A snapshot spares the events before it, is never needed, and is never believed when it could be wrong."""

import logging
from collections.abc import AsyncIterator
from itertools import count
from random import Random
from typing import Any

import pytest
import pytest_asyncio
from msgspec.structs import replace

from common.config import Settings
from common.context import Context, Snapshot
from common.store.load import Loader, StreamState, Wanted
from common.store.snapshots import NewSnapshot, keep
from contexts.stock.wiring import CONTEXT as STOCK
from tests.shell.conftest import NOON, Desk, Message, open_desk

EVERY = 5
AT = "2026-03-01T12:00:00Z"
numbers = count(1)


def stock(**changed: Any) -> Context:
    """Stock under a name of its own, with a snapshot every few events."""
    assert STOCK.snapshot
    return replace(STOCK, name=f"shelves{next(numbers)}", snapshot=replace(STOCK.snapshot, every=EVERY, **changed))


@pytest_asyncio.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, stock()) as made:
        yield made


async def receive(desk: Desk, times: int, site: str = "s1") -> None:
    """So many deliveries of bread, one batch each; snapshots that are due are taken."""
    for _ in range(times):
        lines = [{"sku": "bread", "quantity": 1}]
        await desk.settle(desk.message(site, "ReceiveStock", f"c{next(numbers)}", principal="warehouse", lines=lines))
        await desk.worker.snapshots.take()


async def loaded(desk: Desk, site: str = "s1", context: Context | None = None) -> StreamState:
    """A stream as a worker that knows nothing loads it; `since` tells how many events it had to fold."""
    found = await Loader(context or desk.context).load(desk.pool, Wanted([], [site], [], [], []))
    return found.states[site]


async def folded(desk: Desk, site: str = "s1") -> Any:
    """The state by all events."""
    plain = replace(desk.context, snapshot=None)
    return (await loaded(desk, site, plain)).state


async def versions(desk: Desk) -> dict[str, int]:
    rows = await desk.owner.fetch(f'SELECT stream, version FROM "{desk.name}".snapshots')
    return {row["stream"]: row["version"] for row in rows}


async def test_a_long_stream_is_loaded_from_its_snapshot_and_the_events_after_it(desk: Desk) -> None:
    await receive(desk, EVERY + 2)
    state = await loaded(desk)
    assert (state.version, state.since, state.state.on_hand["bread"]) == (EVERY + 2, 2, EVERY + 2)
    assert state.state == await folded(desk)


async def test_a_snapshot_is_taken_every_so_many_events_and_none_of_a_short_stream(desk: Desk) -> None:
    await receive(desk, EVERY - 1, "short")
    await receive(desk, EVERY)
    assert await versions(desk) == {"s1": EVERY}
    await receive(desk, EVERY - 1)
    assert await versions(desk) == {"s1": EVERY}
    await receive(desk, 1)
    assert (await versions(desk), desk.worker.snapshots.taken) == ({"s1": 2 * EVERY}, 2)


async def test_what_is_due_is_counted_across_restarts(desk: Desk) -> None:
    await receive(desk, EVERY - 1)
    desk.worker = desk.make_worker(desk.leases)
    await receive(desk, 1)
    assert await versions(desk) == {"s1": EVERY}


async def test_a_worker_that_goes_on_from_a_snapshot_decides_as_one_that_knows_all(desk: Desk) -> None:
    """Whatever is asked, with restarts in between: the state is that of all events."""
    chance = Random(4)
    for _ in range(60):
        await desk.settle(*(something(desk, chance) for _ in range(chance.randint(1, 4))))
        await desk.worker.snapshots.take()
        if chance.random() < 0.3:
            desk.worker = desk.make_worker(desk.leases)
        assert (await loaded(desk)).state == await folded(desk)
    assert desk.worker.snapshots.taken + len(await desk.events()) > 10 * EVERY
    assert (await loaded(desk)).since < 2 * EVERY


def something(desk: Desk, chance: Random) -> Message:
    lines = [{"sku": chance.choice(["bread", "milk", "jam"]), "quantity": chance.randint(1, 4)} for _ in range(2)]
    order = {"order_id": f"o{chance.randint(1, 9)}", "at": AT}
    kind, principal, fields = chance.choice(
        [
            ("ReceiveStock", "warehouse", {"lines": lines}),
            ("CountStock", "warehouse", {"sku": "bread", "counted": chance.randint(0, 5)}),
            ("ReserveStock", desk.name, {**order, "lines": lines}),
            ("ReleaseReservation", desk.name, order),
            ("ShipReservation", desk.name, order),
        ]
    )
    return desk.message("s1", kind, f"c{next(numbers)}", principal=principal, **fields)  # type: ignore[arg-type]


async def test_a_snapshot_of_another_shape_is_not_looked_at(desk: Desk) -> None:
    await receive(desk, EVERY)
    assert desk.context.snapshot
    other = replace(desk.context, snapshot=replace(desk.context.snapshot, shape=2))
    state = await loaded(desk, context=other)
    assert (state.since, state.state) == (EVERY, await folded(desk))


@pytest.mark.parametrize(
    "restored",
    [
        "DELETE FROM {s}.events WHERE version = 5",
        "UPDATE {s}.head SET incarnation = 'another'",
        "UPDATE {s}.events SET recorded_at = recorded_at + interval '1 microsecond' WHERE version = 5",
    ],
    ids=["whose last event is lost", "of another incarnation", "of another event of this version"],
)
async def test_after_a_restore_a_snapshot_is_not_believed(desk: Desk, restored: str) -> None:
    await receive(desk, EVERY)
    await desk.login.execute(restored.format(s=f'"{desk.name}"'))
    state = await loaded(desk)
    assert (state.since, state.state) == (state.version, await folded(desk))


async def test_after_a_restore_another_snapshot_takes_its_place(desk: Desk) -> None:
    await receive(desk, 2 * EVERY)
    await desk.login.execute(f'DELETE FROM "{desk.name}".events WHERE version > 6')
    await desk.login.execute(f"UPDATE \"{desk.name}\".head SET incarnation = 'another', position = 6")
    await desk.login.execute(f'DELETE FROM "{desk.name}".receipts')
    desk.worker = desk.make_worker(desk.leases)
    await receive(desk, 1)
    assert (await versions(desk), (await loaded(desk)).since) == ({"s1": 7}, 0)


@pytest.mark.parametrize("data", ["[]", "{", '{"on_hand":{},"reservations":{},"last_number":"x"}'])
async def test_a_snapshot_that_cannot_be_understood_is_done_without(desk: Desk, data: str) -> None:
    await receive(desk, EVERY + 1)
    await desk.login.execute(f'UPDATE "{desk.name}".snapshots SET data = $1', data)
    state = await loaded(desk)
    assert (state.broken, state.since, state.state) == ("", EVERY + 1, await folded(desk))


async def test_a_snapshot_never_goes_back(desk: Desk) -> None:
    for version in (7, 5, 7, 9):
        await keep(desk.pool, desk.name, NewSnapshot("s1", version, 1, "one", NOON, str(version)))
    assert await versions(desk) == {"s1": 9}
    await keep(desk.pool, desk.name, NewSnapshot("s1", 5, 1, "one", NOON, "5"))
    assert await versions(desk) == {"s1": 9}


async def test_one_that_cannot_be_taken_stops_nothing_and_the_next_may_succeed(
    settings: Settings, caplog: pytest.LogCaptureFixture
) -> None:
    good, failing = stock(), True
    assert isinstance(good.snapshot, Snapshot)
    freeze = good.snapshot.freeze

    def fails_at_first(site: Any) -> Any:
        if failing:
            raise ZeroDivisionError
        return freeze(site)

    async with open_desk(settings, replace(good, snapshot=replace(good.snapshot, freeze=fails_at_first))) as desk:
        with caplog.at_level(logging.WARNING):
            await receive(desk, EVERY)
        assert "no snapshot of" in caplog.text
        failing = False
        await receive(desk, EVERY - 1)
        assert await versions(desk) == {}
        await receive(desk, 1)
        assert await versions(desk) == {"s1": 2 * EVERY}


async def test_the_latest_of_several_that_are_due_is_taken(desk: Desk) -> None:
    for n in range(3 * EVERY):
        lines = [{"sku": "bread", "quantity": n + 1}]
        await desk.settle(desk.message("s1", "ReceiveStock", f"c{next(numbers)}", principal="warehouse", lines=lines))
    await desk.worker.snapshots.take()
    assert (await versions(desk), desk.worker.snapshots.taken) == ({"s1": 3 * EVERY}, 1)
