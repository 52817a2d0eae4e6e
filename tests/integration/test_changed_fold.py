"""A changed fold is deployed while orders are placed and asked for: served all the time, swapped, and taken back."""

import asyncio
import os
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count, takewhile

import asyncpg
import httpx
import msgspec

from common.config import PROJECT
from common.servers.embedded import child_environment
from common.shell.wish import STALENESS_HEADER
from common.store.checkpoints import Checkpoint, read_checkpoints
from common.store.fold import equal_to_fresh_fold
from common.store.reader import EventReader
from projectors.orders import MODEL
from tests.integration.changed import CHANGED
from tests.integration.invariants import all_violations
from tests.integration.ordering import PRINCIPAL, Clock, Shop, key_of
from tests.servers import System, until

BEFORE, BUYERS, ASKERS = 1000, 8, 2


@asynccontextmanager
async def changed_projectors(system: System) -> AsyncIterator[asyncio.subprocess.Process]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    env = clean | child_environment(system.settings) | {"PYTHONPATH": str(PROJECT)}
    with (system.settings.data / "logs" / "changed.log").open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.changed", env=env, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def orders_places(system: System, name: str = "orders") -> dict[str, Checkpoint]:
    connection = await asyncpg.connect(system.settings.read_dsn)
    try:
        return await read_checkpoints(connection, name)
    finally:
        await connection.close()


async def live_version(system: System) -> int:
    return next(each.version for each in (await orders_places(system)).values())


class Askers:
    """Ask for orders all the time. `answers` counts what they are answered; `stalest` is the most ms an answer said.

    `unknown` counts answers that did not know: no context's process had told the head of its record in time.
    """

    def __init__(self, shop: Shop) -> None:
        self._shop, self.answers, self.stalest = shop, Counter[int](), 0
        self.unknown, self.slowest_s = 0, 0.0

    async def ask(self) -> None:
        for number in range(sys.maxsize):
            clock = Clock()
            known = key_of(f"before-{number % BEFORE}")
            reply = await self._shop.http.get(f"/orders/{known}" if number % 4 else "/orders?limit=5")
            self.answers[reply.status] += 1
            self.slowest_s = max(self.slowest_s, clock.seconds)
            staleness = reply.headers.get(STALENESS_HEADER.lower(), "unknown")
            if staleness.isdigit():
                self.stalest = max(self.stalest, int(staleness))
            else:
                self.unknown += 1


async def differences(system: System) -> list[str]:
    reads = await asyncpg.connect(system.settings.read_dsn, server_settings={"enable_nestloop": "off"})
    writes = await asyncpg.connect(system.settings.write_dsn("order"))
    try:
        return await equal_to_fresh_fold(reads, CHANGED, {"order": EventReader(writes, "order")})
    finally:
        await reads.close()
        await writes.close()


async def test_a_changed_fold_is_deployed_under_load_and_taken_back(system: System) -> None:
    shop = Shop(system)
    await shop.place([f"before-{n}" for n in range(BEFORE)])
    await shop.settled()
    askers = Askers(shop)
    shop_open = asyncio.Event()
    shop_open.set()
    ids = takewhile(lambda _: shop_open.is_set(), map("during-{}".format, count()))
    placing = asyncio.create_task(shop.place(ids, BUYERS))
    asking = [asyncio.create_task(askers.ask()) for _ in range(ASKERS)]
    clock = Clock()
    try:
        async with changed_projectors(system) as killed:
            await until(lambda: begun(system), what="the new table to be begun")
            killed.kill()  # What it has built stays.
        async with changed_projectors(system):
            await until(lambda: is_live(system, CHANGED.version), 60, "the new table to be live")
            swapped = clock.seconds
            command_id = "after-the-swap"
            assert await shop.send(command_id) == ""
            assert await seen(system, command_id) == 200
            shop_open.clear()
            await placing
            await shop.settled()
            assert await differences(system) == []
            await until(lambda: is_said_to_be_live(shop), 10, "the lag endpoint to say so")
        await taken_back(system)
    finally:
        for task in (placing, *asking):
            task.cancel()
        await asyncio.gather(placing, *asking, return_exceptions=True)
    print(
        f"\na changed fold: live after {swapped:.1f} s beside {len(shop.taken)} orders; {sum(askers.answers.values())}"
        f" queries, {dict(askers.answers)}, {askers.unknown} of unknown staleness,"
        f" slowest {askers.slowest_s * 1000:.0f} ms, stalest {askers.stalest} ms"
    )
    assert set(askers.answers) == {200}
    assert askers.unknown < sum(askers.answers.values()) / 100
    assert shop.surprises == []
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []


async def seen(system: System, command_id: str) -> int:
    """What is answered to who wishes to see the order of a command."""
    headers = {
        "X-API-Key": system.settings.api_key(PRINCIPAL),
        "Daybook-After": f"order:{command_id}",
        "Prefer": "wait=20",
    }
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=30, trust_env=False) as client:
        return (await client.get(f"/orders/{key_of(command_id)}")).status_code


async def begun(system: System) -> bool:
    beside = await orders_places(system, f"orders__{CHANGED.version}")
    return any(each.position > 0 for each in beside.values()) or await is_live(system, CHANGED.version)


async def is_live(system: System, version: int) -> bool:
    return await live_version(system) == version


async def is_said_to_be_live(shop: Shop) -> bool:
    """A second or two later: whoever runs says each second how it is."""
    lines = await lag_of_orders(shop)
    found = [(each["model"], each["version"], each["state"]) for each in lines]
    return found == [("orders", CHANGED.version, "live")]


async def lag_of_orders(shop: Shop) -> list[dict[str, object]]:
    reply = await shop.http.get("/consistency-lag/orders")
    lines: list[dict[str, object]] = msgspec.json.decode(reply.body)["read_models"]
    return lines


async def taken_back(system: System) -> None:
    """The old code makes its own table again, by its projectors that have run all the time."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    env = clean | {"DAYBOOK_DATA": str(system.settings.data), "PYTHONPATH": str(PROJECT)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "gateway.cli", "rebuild", "orders", env=env)
    assert await asyncio.wait_for(process.wait(), 60) == 0
    assert await live_version(system) == MODEL.version
