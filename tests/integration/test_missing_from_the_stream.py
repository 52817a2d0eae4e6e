"""EVENTS is a copy: what it lacks, in the middle, at its end or altogether, readers take from the record."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, suppress

import asyncpg
import pytest_asyncio
from nats.aio.client import Client

from common import discovery
from common.bus.api import ask_jetstream
from common.bus.connect import connect
from common.provision import provision_bus
from common.recorded import INCARNATION_HEADER, POSITION_HEADER, VERSION, VERSION_HEADER, Recorded, recorded_encoder
from common.shell.lease import LeaseKeeper
from common.store.leases import LeaseTable
from common.store.pool import open_pool
from common.store.reader import EventReader
from common.subjects import event_subject
from tests.integration.invariants import all_violations
from tests.integration.ordering import PRINCIPAL, Shop, ask, key_of
from tests.integration.outages import family, send
from tests.servers import System, until

STREAM = "EVENTS_order"
HEAD = 'SELECT position FROM "order".head'


@pytest_asyncio.fixture(scope="module")
async def admin(system: System) -> AsyncIterator[Client]:
    connection = await connect(system.settings, "admin")
    yield connection
    await connection.close()


@asynccontextmanager
async def relay_silent(system: System) -> AsyncIterator[None]:
    """While the block runs, the relay of order is somebody's who does nothing. Begins when order's process knows."""
    pool = await open_pool(system.settings.write_dsn("order"), "writer", 1)
    table = LeaseTable(pool, "order")
    keeper = LeaseKeeper(table, "somebody", ("relay",), system.settings.lease_ttl_ms / 1000)

    async def take() -> bool:
        found = [lease for lease in await table.all() if lease.name == "relay"]
        keeper.held = {lease.name: lease for lease in await table.take("somebody", found)}
        return bool(keeper.held)

    async def beat() -> int:
        """Of a lease that no append touches: renewed with all that order's process holds."""
        return next(lease.beat for lease in await table.all() if lease.name == "reference")

    await until(take, what="the lease of the relay")
    keeping = asyncio.create_task(keeper.run())
    try:
        taken_at = await beat()

        async def known() -> bool:
            return await beat() >= taken_at + 2  # It has renewed twice, and the first answer told it what it has lost.

        await until(known, what="order's process to know that it has lost its relay")
        yield
    finally:
        keeping.cancel()
        with suppress(asyncio.CancelledError):
            await keeping
        await pool.close()


async def recorded(system: System, after: object) -> list[Recorded]:
    connection = await asyncpg.connect(system.settings.write_dsn("order"))
    try:
        return await EventReader(connection, "order").page(int(str(after)), 1000)
    finally:
        await connection.close()


async def publish(admin: Client, events: Iterable[Recorded]) -> None:
    """As a relay would that has a fault."""
    for event in events:
        headers = {
            VERSION_HEADER: VERSION,
            POSITION_HEADER: str(event.position),
            INCARNATION_HEADER: event.incarnation,
        }
        subject = event_subject(event.context, event.type, event.stream)
        await admin.jetstream().publish(subject, recorded_encoder.encode(event), headers=headers)


async def last_position(admin: Client) -> int:
    last = (await admin.jetstream().stream_info(STREAM)).state.last_seq
    return int((await admin.jetstream().get_msg(STREAM, seq=last)).headers[POSITION_HEADER])  # type: ignore[index]


async def test_what_is_missing_at_the_end_of_the_stream_is_found_and_healed(system: System, admin: Client) -> None:
    shop = Shop(system)
    await shop.place(f"tail-{n}" for n in range(50))
    await shop.settled()
    async with relay_silent(system):
        before = await ask(system.settings.write_dsn("order"), HEAD)
        await shop.place(f"unsaid-{n}" for n in range(50))
        await until(lambda: shop.decided(shop.taken), what="orders to be decided without a relay")
        await until(shop.visible, what="what the stream lacks to be visible")
        assert await last_position(admin) == before
        assert await shop.status(f"/orders/{key_of('unsaid-49')}") == 200
    await shop.settled()
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []


async def test_what_is_missing_in_the_middle_of_the_stream_is_found_and_healed(system: System, admin: Client) -> None:
    shop, projectors = Shop(system), family(system.pids["projectors"])
    async with relay_silent(system):
        before = await ask(system.settings.write_dsn("order"), HEAD)
        send(projectors, signal.SIGSTOP)
        try:
            await shop.place(f"middle-{n}" for n in range(50))
            await until(lambda: shop.decided(shop.taken), what="orders to be decided")
            events = await recorded(system, before)
            missing = events[20:23] + events[30:31]
            await publish(admin, [event for event in events if event not in missing])
        finally:
            send(projectors, signal.SIGCONT)
        await until(shop.visible, what="what the stream lacks to be visible")
    await shop.place(f"later-{n}" for n in range(50))
    await shop.settled()
    holes = [f"{STREAM}: position {event.position} is missing" for event in missing]
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == holes
    await read_again_from_the_beginning(system)
    await shop.settled()
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == holes


async def read_again_from_the_beginning(system: System) -> None:
    """The projectors find their tables empty."""
    system.kill("projectors", signal.SIGSTOP)
    connection = await asyncpg.connect(system.settings.read_dsn)
    await connection.execute(
        "TRUNCATE read.orders;"
        "UPDATE read.checkpoints SET position = 0, incarnation = '', stream_seq = 0 WHERE model = 'orders'"
    )
    await connection.close()
    await system.kill_and_wait("projectors")


async def test_a_stream_that_was_deleted_is_filled_again(system: System, admin: Client) -> None:
    shop = Shop(system)
    await ask_jetstream(admin, f"STREAM.DELETE.{STREAM}", {})
    await shop.place(f"streamless-{n}" for n in range(50))
    await until(lambda: shop.decided(shop.taken), what="orders to be decided without the stream")
    await until(shop.visible, what="orders to be visible without the stream")
    await provision_bus(system.settings, list(discovery.contexts()))
    await shop.place(f"streamed-{n}" for n in range(50))
    await shop.settled()
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []
