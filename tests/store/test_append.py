"""The append writes a batch whole or not at all, in positions without gaps, under leases that are still held (P1)."""

import asyncio

import asyncpg
import pytest

from common.context import Claim
from common.store.append import CountMismatch, LeaseLost, append, net_claims
from tests.servers import until
from tests.store.batches import batch, event, orders, receipt
from tests.store.conftest import Store

EMAIL = Claim("email", "a@b.c")


async def take(store: Store, owner: str, *names: str) -> dict[str, int]:
    free = [lease for lease in await store.leases.all() if lease.name in names]
    return {lease.name: lease.epoch for lease in await store.leases.take(owner, free)}


async def count(store: Store, table: str) -> int:
    number: int = await store.owner.fetchval(f'SELECT count(*) FROM "{store.name}".{table}')
    return number


async def test_positions_follow_each_other_and_each_receipt_names_that_of_its_own_last_event(store: Store) -> None:
    epochs = await take(store, "w", "0")
    events = [event("a", 1, "c1"), event("a", 2, "c1", 1), event("b", 1, "c3")]
    receipts = [receipt("c1", 2, 2), receipt("c2", 2, 0), receipt("c3", 3)]
    first = await append(store.pool, store.name, epochs, batch(events, receipts))
    second = await append(store.pool, store.name, epochs, orders("x", 2, {"0": 9}))
    assert (first.base, second.base) == (0, 3)
    assert [e.position for e in await store.reader.page(0, 10)] == [1, 2, 3, 4, 5]
    kept = await store.reader.receipts("alice", ["c1", "c2", "c3"])
    assert {name: r.position for name, r in kept.items()} == {"c1": 2, "c2": 2, "c3": 3}
    assert (await store.leases.all())[0].done == 9


async def test_a_batch_without_events_still_answers_and_moves_its_place(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, orders("x", 3))
    await append(store.pool, store.name, epochs, batch(receipts=[receipt("no", 0, 0)], done={"0": 7}))
    assert (await store.reader.receipts("alice", ["no"]))["no"].position == 3
    assert ((await store.reader.head()).position, (await store.leases.all())[0].done) == (3, 7)


async def test_a_stale_epoch_writes_neither_events_nor_receipts_nor_its_place(store: Store) -> None:
    old = await take(store, "old", "0", "1")
    await take(store, "new", "1")
    with pytest.raises(LeaseLost):
        await append(store.pool, store.name, old, orders("x", 5, {"0": 5, "1": 6}))
    assert [await count(store, table) for table in ("events", "receipts")] == [0, 0]
    assert [lease.done for lease in await store.leases.all()] == [0, 0, 0]
    assert (await store.reader.head()).position == 0


async def test_an_append_that_waits_for_the_head_keeps_takers_over_waiting(store: Store) -> None:
    """A takeover cannot commit between an append's check of its lease and its writing."""
    epochs = await take(store, "w", "0")
    async with store.owner.acquire() as blocker:
        transaction = blocker.transaction()
        await transaction.start()
        await blocker.execute(f'SELECT FROM "{store.name}".head FOR UPDATE')
        late = asyncio.create_task(append(store.pool, store.name, epochs, orders("x", 2)))
        await until(lambda: waiting(store, 1), what="the append to wait for the head")
        takeover = asyncio.create_task(take(store, "new", "0"))
        await until(lambda: waiting(store, 2), what="the takeover to wait for the lease")
        await transaction.rollback()
    assert (await late).base == 0
    # Its beat has moved by the append, so the lease that the taker saw is not the one that is there now.
    assert await takeover == {}


async def waiting(store: Store, number: int) -> bool:
    """Whether so many statements wait for a lock."""
    found: int = await store.owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return found >= number


async def test_a_takeover_that_has_begun_makes_the_append_write_nothing(store: Store) -> None:
    epochs = await take(store, "w", "0")
    async with store.owner.acquire() as taker:
        transaction = taker.transaction()
        await transaction.start()
        await taker.execute(f"UPDATE \"{store.name}\".leases SET epoch = epoch + 1, owner = 'new' WHERE name = '0'")
        late = asyncio.create_task(append(store.pool, store.name, epochs, orders("x", 2)))
        await until(lambda: waiting(store, 1), what="the append to wait for the lease")
        await transaction.commit()
    with pytest.raises(LeaseLost):
        await late
    assert [await count(store, table) for table in ("events", "receipts")] == [0, 0]


async def test_of_two_overlapping_appends_the_second_waits_and_positions_follow_commit_order(store: Store) -> None:
    one, two = await take(store, "one", "0"), await take(store, "two", "1")
    async with store.pool.acquire() as first:
        transaction = first.transaction()
        await transaction.start()
        await append(first, store.name, one, orders("first", 3))
        second = asyncio.create_task(append(store.pool, store.name, two, orders("second", 2, {"1": 1})))
        await until(lambda: waiting(store, 1), what="the second append to wait")
        assert await store.reader.page(0, 10) == []
        await transaction.commit()
    assert (await second).base == 3
    page = await store.reader.page(0, 10)
    assert [e.stream for e in page] == ["first-0", "first-1", "first-2", "second-0", "second-1"]
    assert [e.recorded_at for e in page] == sorted(e.recorded_at for e in page)


async def test_an_append_that_is_rolled_back_leaves_no_gap(store: Store) -> None:
    epochs = await take(store, "w", "0")
    async with store.pool.acquire() as connection:
        transaction = connection.transaction()
        await transaction.start()
        await append(connection, store.name, epochs, orders("gone", 4))
        await transaction.rollback()
    await append(store.pool, store.name, epochs, orders("kept", 1))
    assert [e.position for e in await store.reader.page(0, 10)] == [1]


async def test_many_workers_at_once_leave_contiguous_positions_and_equal_counts(store: Store) -> None:
    owners = [await take(store, f"w{p}", p) for p in ("0", "1", "2")]

    async def work(epochs: dict[str, int]) -> None:
        (name,) = epochs
        for i in range(30):
            await append(store.pool, store.name, epochs, orders(f"{name}-{i}", i % 4, {name: i + 1}))

    await asyncio.gather(*(work(epochs) for epochs in owners))
    page = await store.reader.page(0, 1000)
    assert [e.position for e in page] == list(range(1, len(page) + 1))
    assert len(page) == await count(store, "receipts") == 3 * sum(i % 4 for i in range(30))


async def test_a_version_that_exists_refuses_the_whole_statement(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, orders("x", 1))
    with pytest.raises(asyncpg.UniqueViolationError):
        await append(store.pool, store.name, epochs, batch([event("x-0", 1, "again")], [receipt("again", 1)]))
    assert (await store.reader.head()).position == 1


async def test_a_claim_is_taken_passed_on_and_freed(store: Store) -> None:
    epochs = await take(store, "w", "0")
    for before, after in ((None, "anna"), ("anna", "bert"), ("bert", None), (None, "carl")):
        await append(store.pool, store.name, epochs, batch(claims={EMAIL: (before, after)}))
        assert await store.owner.fetchval(f'SELECT min(stream) FROM "{store.name}".claims') == after


@pytest.mark.parametrize(("before", "after"), [("anna", "bert"), ("anna", None)])
async def test_a_claim_that_another_worker_has_moved_meanwhile_undoes_the_append(
    store: Store, before: str, after: str | None
) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch(claims={EMAIL: (None, "dora")}))
    with pytest.raises(CountMismatch):
        await append(
            store.pool, store.name, epochs, batch([event("s", 1)], [receipt("c", 1)], None, {EMAIL: (before, after)})
        )
    assert (await store.reader.head()).position == 0


async def test_a_claim_that_is_taken_already_refuses_the_append(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch(claims={EMAIL: (None, "dora")}))
    with pytest.raises(asyncpg.UniqueViolationError):
        await append(store.pool, store.name, epochs, batch(claims={EMAIL: (None, "anna")}))


def test_a_claim_that_is_freed_and_taken_in_one_batch_comes_to_one_change() -> None:
    assert net_claims([(EMAIL, "anna", None), (EMAIL, None, "bert")]) == {EMAIL: ("anna", "bert")}
    assert net_claims([(EMAIL, None, "anna"), (EMAIL, "anna", None)]) == {}


async def test_a_crud_row_never_goes_back(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch(rows={"p": (3, "third")}))
    with pytest.raises(CountMismatch):
        await append(store.pool, store.name, epochs, batch(rows={"p": (2, "second")}))
    assert await store.owner.fetchval(f'SELECT data FROM "{store.name}".rows') == "third"


@pytest.mark.parametrize("change", ["UPDATE {s}.events SET type = 'X'", "DELETE FROM {s}.events", "TRUNCATE {s}.events",
                                    "DELETE FROM {s}.receipts", "UPDATE {s}.head SET incarnation = 'x'"])  # fmt: skip
async def test_the_writer_cannot_rewrite_history(store: Store, change: str) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, orders("x", 1))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await store.pool.execute(change.format(s=f'"{store.name}"'))
