"""Each side of the system does without the other: commands without the read database, queries without the write one."""

import pytest

from tests.integration.invariants import all_violations
from tests.integration.ordering import PRINCIPAL, Clock, Shop, key_of
from tests.integration.outages import Outage, frozen, gone
from tests.servers import System, until

ORDERS = 500
PROBLEM = "application/problem+json"


def names(what: str, number: int = ORDERS) -> list[str]:
    return [f"{what}-{n}" for n in range(number)]


async def decided_per_s(shop: Shop, ids: list[str]) -> float:
    """Places the orders; how many a second were decided."""
    clock = Clock()
    await shop.place(ids)
    await until(lambda: shop.decided(ids), 60, f"{len(ids)} orders to be decided")
    return len(ids) / clock.seconds


@pytest.mark.parametrize("down", [frozen, gone])
async def test_without_the_read_database_commands_are_taken_and_decided(system: System, down: Outage) -> None:
    shop, name = Shop(system), down.__name__
    before = await decided_per_s(shop, names(f"before-{name}"))
    during_ids = names(f"during-{name}")
    async with down(system, "postgres-read"):
        during = await decided_per_s(shop, during_ids)
        await until(lambda: shop.answers("/readyz/queries", 503))
        assert await shop.status("/readyz/commands") == 200
        assert (await shop.http.get(f"/commands/order/{during_ids[0]}")).status == 200
        clock = Clock()
        reply = await shop.http.get(f"/orders/{key_of(during_ids[0])}")
        refused_after = clock.seconds
        assert (reply.status, reply.headers["content-type"]) == (503, PROBLEM)
        assert "retry-after" in reply.headers
    clock = Clock()
    await shop.settled()
    print(
        f"\nread Postgres {name}: {during:,.0f} orders/s decided (before: {before:,.0f}); a query answered 503 after "
        f"{refused_after:.1f} s; all visible {clock.seconds:.1f} s after its return; sent again: {dict(shop.again)}"
    )
    assert await shop.status(f"/orders/{key_of(during_ids[0])}") == 200
    assert shop.surprises == []
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []


@pytest.mark.parametrize("down", [frozen, gone])
async def test_without_the_write_database_queries_go_on_and_commands_are_decided_when_it_returns(
    system: System, down: Outage
) -> None:
    shop, name = Shop(system), f"write-{down.__name__}"
    before_ids, during_ids = names(f"before-{name}", 100), names(f"during-{name}")
    await shop.place(before_ids)
    await shop.settled()
    clock = Clock()
    async with down(system, "postgres-write"):
        await shop.place(during_ids)
        taken_after = clock.seconds
        assert await shop.status("/readyz/queries") == 200
        assert await shop.status("/readyz/commands") == 200
        for command_id in before_ids:
            assert await shop.status(f"/orders/{key_of(command_id)}") == 200
        assert await shop.status(f"/orders/{key_of(during_ids[0])}") == 404
        assert await shop.status(f"/commands/order/{during_ids[0]}") == 503
    clock = Clock()
    await shop.settled()
    print(
        f"\nwrite Postgres {down.__name__}: {ORDERS} orders taken in {taken_after:.1f} s, decided and visible "
        f"{clock.seconds:.1f} s after its return; sent again: {dict(shop.again)}"
    )
    assert await shop.status(f"/orders/{key_of(during_ids[0])}") == 200
    assert shop.surprises == []
    assert await all_violations(system.settings, PRINCIPAL, shop.taken) == []
