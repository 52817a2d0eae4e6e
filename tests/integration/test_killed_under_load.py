"""Every part is killed with -9 while orders are being placed: what was answered 202 happens, and happens once."""

import asyncio

from common.discovery import contexts
from tests.integration.invariants import all_violations
from tests.integration.ordering import PRINCIPAL, Clock, Shop
from tests.servers import System, until

ORDERS, AT_ONCE = 2200, 600
WITHIN_S = 120


async def test_whatever_is_killed_each_order_that_was_taken_is_placed_once(system: System) -> None:
    shop, clock = Shop(system), Clock()
    parts = sorted(system.pids)
    servers = ["nats", "postgres-read", "postgres-write"]
    assert parts == sorted([*servers, "gateway", "projectors", *(f"context-{name}" for name in contexts())])
    share = -(-ORDERS // len(parts))
    async with asyncio.timeout(WITHIN_S):
        for number, part in enumerate(parts):
            ids = [f"order-{n}" for n in range(number * share, min((number + 1) * share, ORDERS))]
            async with asyncio.TaskGroup() as group:
                placing = group.create_task(shop.place(ids))
                before = len(shop.taken)
                await until(lambda before=before: len(shop.taken) >= before + share // 4)  # type: ignore[misc]
                assert not placing.done()
                await system.kill_and_wait(part)
        placed = clock.seconds
        await shop.settled()
    print(
        f"\n{ORDERS} orders placed in {placed:.1f} s, all visible after {clock.seconds:.1f} s; "
        f"{len(shop.taken)} answered 202; sent again: {dict(shop.again)}; "
        f"killed once each: {', '.join(parts)}"
    )
    assert shop.surprises == []
    assert sorted(shop.taken) == sorted(f"order-{n}" for n in range(ORDERS))
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []


async def test_when_all_is_killed_at_once_each_order_that_was_taken_is_placed_once(system: System) -> None:
    shop, clock = Shop(system), Clock()
    ids = [f"at-once-{n}" for n in range(AT_ONCE)]
    async with asyncio.timeout(WITHIN_S), asyncio.TaskGroup() as group:
        group.create_task(shop.place(ids))
        await until(lambda: len(shop.taken) >= AT_ONCE // 4)
        old = {part: system.kill(part) for part in system.pids}
        await until(lambda: not set(old.values()) & set(system.pids.values()), 60, "all parts to run again")
    await shop.settled()
    print(f"\n{AT_ONCE} orders, all parts killed at once: all visible after {clock.seconds:.1f} s; {dict(shop.again)}")
    assert shop.surprises == []
    assert sorted(shop.taken) == sorted(ids)
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []
