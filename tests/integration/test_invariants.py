"""The checks of invariants find what they are there for: each is shown what breaks it, and what does not."""

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from common.recorded import Recorded, State
from common.store.append import Batch, append
from common.store.new_rows import NewReceipt
from tests.integration.invariants import (
    RECORD,
    answer_violations,
    record_violations,
    stream_violations,
)
from tests.shell.toys import NOON, Added, Emptied, jars, new_event
from tests.shell.worlds import World

BROKEN = {
    "positions are 1..n": "UPDATE {s}.events SET position = 9 WHERE position = 3",
    "versions of a stream are 1..n, in the order of positions": """
        UPDATE {s}.events SET version = 3 - version WHERE stream = 'a'""",
    "the head is the last position and the number of events": "UPDATE {s}.head SET position = 4",
    "recorded_at follows positions": "UPDATE {s}.events SET recorded_at = '1999-01-01' WHERE position = 2",
    "an id has one receipt": "INSERT INTO {s}.receipts SELECT * FROM {s}.receipts WHERE command_id = 'refused'",
    "an event has the receipt of its command": "DELETE FROM {s}.receipts WHERE command_id = 'a-1'",
    "a receipt counts the events of its command": "UPDATE {s}.receipts SET events = 2 WHERE command_id = 'a-1'",
    "a receipt points to the last event of its command, or to one before it": """
        UPDATE {s}.receipts SET position = position + 1 WHERE command_id = 'a-1'""",
}


def receipt(command_id: str, key: str, version: int, offset: int) -> NewReceipt:
    """Without a version, of a refused command."""
    state: State = "accepted" if version else "rejected"
    events = 1 if version else 0
    return NewReceipt(
        "alice", command_id, "", state, "Add", key, version, offset, events, "", "", "{}", command_id, NOON
    )  # fmt: skip


@pytest_asyncio.fixture
async def record(world: World) -> World:
    """Three events of two streams, and a refusal; without the constraints that keep it from being broken."""
    streams = [("a", 1), ("a", 2), ("b", 1)]
    events = [new_event(stream, version, Added(version)) for stream, version in streams]
    receipts = [receipt(f"{s}-{version}", s, version, n) for n, (s, version) in enumerate(streams, 1)]
    batch = Batch({}, events, [*receipts, receipt("refused", "b", 0, 3)], {}, {}, [])
    await append(world.writer, world.name, world.epochs, batch)
    for table in ("events_pkey", "events_stream_version_key", "receipts_pkey"):
        await world.owner_says(f"ALTER TABLE {{s}}.{table.partition('_')[0]} DROP CONSTRAINT {table}")
    return world


async def found(record: World) -> list[str]:
    return await record_violations(record.writer, record.name)


async def test_a_record_that_was_written_by_appends_breaks_no_rule(record: World) -> None:
    assert await found(record) == []


@pytest.mark.parametrize("rule", RECORD)
async def test_each_rule_of_the_record_finds_what_breaks_it(record: World, rule: str) -> None:
    await record.owner_says(BROKEN[rule])
    assert [each for each in await found(record) if f"{record.name}: {rule}: " in each]


@pytest.mark.parametrize(
    ("broken", "text"),
    [
        ("DELETE FROM {s}.receipts WHERE command_id = 'a-2'", "a-2 was taken and has 0 receipts"),
        ("INSERT INTO {s}.receipts SELECT * FROM {s}.receipts WHERE command_id = 'a-2'", "a-2 was taken and has 2"),
        ("DELETE FROM {s}.events WHERE command_id = 'a-2'", "a-2 has 0 Added"),
        ("INSERT INTO {s}.events SELECT * FROM {s}.events WHERE command_id = 'a-2'", "a-2 has 2 Added"),
        ("UPDATE {s}.events SET command_id = 'refused' WHERE command_id = 'a-2'", "refused has 1 Added"),
    ],
)
async def test_an_answered_command_without_its_one_receipt_and_event_is_found(
    record: World, broken: str, text: str
) -> None:
    async def found() -> list[str]:
        return await answer_violations(record.writer, record.name, "alice", ["a-1", "a-2", "refused"], "Added")

    assert await found() == []
    await record.owner_says(broken)
    assert [each for each in await found() if text in each]


def changed(event: Recorded) -> Recorded:
    return msgspec.structs.replace(event, data=msgspec.Raw(b'{"drops":99}'))


@pytest.mark.parametrize(
    ("order", "text"),
    [
        ((1, 3), "position 2 is missing"),
        ((1, 2), "position 3 is missing"),
        ((2, 3), "position 1 is missing"),
        ((), "position 1 is missing"),
        ((1, 2, 2, 3), "position 2 is there 2 times"),
        ((1, 2, 3, 4), "position 4 was never recorded"),
        ((1, 3, 2), "out of order"),
    ],
)
async def test_a_stream_that_is_not_the_record_is_found(record: World, order: Sequence[int], text: str) -> None:
    events: list[Any] = [None, *await record.reader.page(0, 9)]
    events.append(msgspec.structs.replace(events[3], position=4))
    await record.publish(*(events[position] for position in order))
    await record.nc.jetstream().publish(f"event.{record.name}.stray.x", b"not ours")
    assert [each for each in await stream_violations(record.nc, record.reader) if text in each]


async def test_an_event_with_other_content_is_found(record: World) -> None:
    first, second, third = await record.reader.page(0, 9)
    await record.publish(first, changed(second), third)
    assert [f"EVENTS_{record.name}: position 2 has other content than the record"] == await stream_violations(
        record.nc, record.reader
    )


async def test_a_stream_that_is_the_record_breaks_no_rule_whatever_strays_it_holds(record: World) -> None:
    first, *others = await record.reader.page(0, 9)
    await record.publish(first)
    await record.nc.jetstream().publish(f"event.{record.name}.stray.x", b"not ours")
    await record.publish(*others)
    assert await stream_violations(record.nc, record.reader) == []


async def test_a_table_that_is_not_the_fold_of_the_record_is_found(world: World) -> None:
    model = jars(world.name)
    await world.tables(model)
    await world.record(("a", Added(1)), ("a", Emptied()))
    assert await world.differences(model) == []
    await world.record(("b", Added(1)))
    (difference,) = await world.differences(model)
    assert "jars ('b',): table None" in difference
