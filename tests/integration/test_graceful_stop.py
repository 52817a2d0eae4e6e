"""A system that is told to stop while orders are being placed stops cleanly, and its next start knows them all."""

import asyncio
import signal
from pathlib import Path

import psutil

from tests.integration.conftest import ALONE
from tests.integration.invariants import all_violations
from tests.integration.ordering import PRINCIPAL, Clock, Shop
from tests.servers import running_system, until

ORDERS = [f"order-{n}" for n in range(2000)]


async def place_until_refused(shop: Shop, ids: list[str]) -> None:
    """As many at a time as connections, each once: who is told to come again has lost nothing yet."""
    waiting = iter(ids)

    async def some() -> None:
        for command_id in waiting:
            if reason := await shop.send(command_id):
                shop.again[reason] += 1
                return

    await asyncio.gather(*(some() for _ in range(64)))


async def test_nothing_is_lost_when_the_system_is_stopped_under_load(data: Path) -> None:
    async with running_system(data, options=ALONE) as system:
        before = Shop(system)
        placing = asyncio.create_task(place_until_refused(before, ORDERS))
        await until(lambda: len(before.taken) >= len(ORDERS) // 4)
        pids = list(system.pids.values())
        clock = Clock()
        code = await system.stop(signal.SIGTERM)
        stopped = clock.seconds
        await placing
        assert code == 0
        assert not any(psutil.pid_exists(pid) for pid in pids)
        assert len(before.taken) < len(ORDERS)
    async with running_system(data, options=ALONE) as system:
        after, clock = Shop(system), Clock()
        await until(lambda: after.decided(before.taken), what="what was taken before to be decided")
        decided = clock.seconds
        await after.place(ORDERS)
        await after.settled()
        print(
            f"\nSIGTERM after {len(before.taken)} of {len(ORDERS)} orders: stopped in {stopped:.1f} s; decided "
            f"{decided:.1f} s after the next start was ready; refused at the end: {dict(before.again)}"
        )
        assert before.surprises == after.surprises == []
        assert await all_violations(system.settings, PRINCIPAL, ORDERS) == []
