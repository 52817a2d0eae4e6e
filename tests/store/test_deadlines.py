"""Deadlines are written and ended by the append, as one with the events that say so (P1); and who is due is known."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest

from common.store.append import LeaseLost, append
from common.store.deadlines import DeadlineTable
from tests.servers import until
from tests.store.batches import batch, deadline, event
from tests.store.conftest import Store
from tests.store.test_append import take, waiting

PAST = -1.0


async def kept(store: Store) -> dict[tuple[str, str], str]:
    """The event that set each deadline there is."""
    rows = await store.pool.fetch(f'SELECT stream, name, event_id FROM "{store.name}".deadlines')
    return {(row["stream"], row["name"]): row["event_id"] for row in rows}


def table(store: Store) -> DeadlineTable:
    return DeadlineTable(store.pool, store.name)


async def test_a_deadline_counts_from_when_its_event_is_recorded(store: Store) -> None:
    epochs = await take(store, "w", "0")
    written = batch([event("a", 1)], deadlines=[deadline("a", 90), deadline("a", None, "other")])
    appended = await append(store.pool, store.name, epochs, written)
    (row,) = await store.pool.fetch(f'SELECT * FROM "{store.name}".deadlines')
    assert row["due_at"] == appended.recorded_at + timedelta(seconds=90)
    assert (row["stream"], row["name"], row["event_id"], row["correlation_id"]) == ("a", "return", "e1", "c1")
    assert await table(store).due(10) == []


async def test_a_deadline_is_set_anew_and_ended_by_later_batches(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch(deadlines=[deadline("a", 90), deadline("b", 90)]))
    await append(
        store.pool,
        store.name,
        epochs,
        batch(deadlines=[deadline("a", 5, event_id="e2"), deadline("b", None), deadline("c", None)]),
    )
    assert await kept(store) == {("a", "return"): "e2"}


async def test_of_several_of_one_name_in_a_batch_the_last_one_counts(store: Store) -> None:
    epochs = await take(store, "w", "0")
    changes = [deadline("a", 90), deadline("a", None), deadline("b", None), deadline("b", 90, event_id="e2")]
    await append(store.pool, store.name, epochs, batch(deadlines=changes))
    assert await kept(store) == {("b", "return"): "e2"}


async def test_who_has_lost_the_lease_sets_and_ends_no_deadline(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch(deadlines=[deadline("a", 90)]))
    await take(store, "thief", "0")
    with pytest.raises(LeaseLost):
        await append(store.pool, store.name, epochs, batch(deadlines=[deadline("a", None), deadline("b", 90)]))
    assert await kept(store) == {("a", "return"): "e1"}


async def test_a_batch_that_is_undone_leaves_deadlines_as_they_were(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch([event("a", 1)], deadlines=[deadline("a", 90)]))
    again = batch([event("a", 1)], deadlines=[deadline("a", None)])
    with pytest.raises(asyncpg.UniqueViolationError):
        await append(store.pool, store.name, epochs, again)
    assert await kept(store) == {("a", "return"): "e1"}


async def test_a_duration_that_no_clock_reaches_is_refused_by_the_database_alone(store: Store) -> None:
    epochs = await take(store, "w", "0")
    with pytest.raises(asyncpg.DataError):
        await append(store.pool, store.name, epochs, batch(deadlines=[deadline("a", 86_400.0 * 999_999_999)]))
    assert (await store.reader.head()).position == 0


async def test_those_that_have_passed_are_due_the_longest_past_first(store: Store) -> None:
    epochs = await take(store, "w", "0")
    seconds = {"a": -1.0, "b": -3.0, "c": 60.0, "d": -2.0}
    await append(store.pool, store.name, epochs, batch(deadlines=[deadline(s, n) for s, n in seconds.items()]))
    assert [each.stream for each in await table(store).due(10)] == ["b", "d", "a"]
    assert [each.stream for each in await table(store).due(2)] == ["b", "d"]


async def test_what_was_asked_for_is_removed_but_for_what_was_set_anew_meanwhile(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch(deadlines=[deadline("a", PAST), deadline("b", PAST)]))
    due = await table(store).due(10)
    await append(store.pool, store.name, epochs, batch(deadlines=[deadline("b", 90, event_id="e2")]))
    await table(store).remove(due)
    assert await kept(store) == {("b", "return"): "e2"}
    await table(store).remove(due)  # Twice is as once.
    assert await kept(store) == {("b", "return"): "e2"}


async def test_removing_waits_for_no_append_that_holds_the_row(store: Store) -> None:
    """An append and a removal that each hold what the other wants would end in a deadlock."""
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch(deadlines=[deadline("a", PAST), deadline("b", PAST)]))
    due = await table(store).due(10)
    async with store.pool.acquire() as appending:
        transaction = appending.transaction()
        await transaction.start()
        await append(appending, store.name, epochs, batch(deadlines=[deadline("a", 90, event_id="e2")]))
        await asyncio.wait_for(table(store).remove(due), 5)
        await transaction.commit()
    assert await kept(store) == {("a", "return"): "e2"}


async def test_an_append_waits_for_a_removal_and_sets_its_deadline_anew(store: Store) -> None:
    epochs = await take(store, "w", "0")
    await append(store.pool, store.name, epochs, batch(deadlines=[deadline("a", PAST)]))
    due = await table(store).due(10)
    async with store.owner.acquire() as removing:
        transaction = removing.transaction()
        await transaction.start()
        await DeadlineTable(removing, store.name).remove(due)
        late = asyncio.create_task(
            append(store.pool, store.name, epochs, batch(deadlines=[deadline("a", 90, event_id="e2")]))
        )
        await until(lambda: waiting(store, 1), what="the append to wait for the row")
        await transaction.commit()
    await late
    assert await kept(store) == {("a", "return"): "e2"}


async def test_finding_the_due_takes_an_index_however_many_are_not(store: Store) -> None:
    await store.owner.execute(
        f"""INSERT INTO "{store.name}".deadlines SELECT 's' || i, 'return', now() + i * interval '1 s', 'e', 'c'
        FROM generate_series(1, 20000) i; ANALYZE "{store.name}".deadlines"""
    )
    plan = await store.owner.fetch(
        f'EXPLAIN SELECT stream FROM "{store.name}".deadlines WHERE due_at <= now() ORDER BY due_at, stream LIMIT 9'
    )
    assert any("deadlines_due" in row[0] for row in plan)
    assert await table(store).due(5) == []
