"""The read server is killed and all it had is deleted while orders are placed: every view comes back, by itself."""

import asyncio
import shutil

from tests.integration.invariants import all_violations
from tests.integration.ordering import PRINCIPAL, Clock, Shop, key_of
from tests.servers import System, until

ORDERS = 2500


async def test_a_read_database_that_is_deleted_under_load_comes_back_equal_by_itself(system: System) -> None:
    shop = Shop(system)
    placing = asyncio.create_task(shop.place([f"order-{n}" for n in range(ORDERS)]))
    await until(lambda: len(shop.taken) > ORDERS // 4)
    pids = {name: pid for name, pid in system.pids.items() if name != "postgres-read"}
    await system.kill_and_wait("postgres-read")  # First killed alone, in the middle of it ...
    await until(lambda: len(shop.taken) > ORDERS // 2)
    clock = Clock()
    system.kill("postgres-read")  # ... then with all its files.
    shutil.rmtree(system.settings.data / "postgres-read", ignore_errors=True)
    assert not placing.done()
    await until(lambda: shop.answers(f"/orders/{key_of('order-0')}", 200), 60, "an order to be shown again")
    shown = clock.seconds
    await placing
    await shop.settled()
    print(
        f"\nread database deleted: the first order shown {shown:.1f} s later, all {ORDERS} after {clock.seconds:.1f} s"
    )
    assert {name: pid for name, pid in system.pids.items() if name != "postgres-read"} == pids, "nothing else restarted"
    assert shop.surprises == []
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []
