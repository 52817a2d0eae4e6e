"""What must hold whatever happened, checked from stored data alone. Each check returns its violations, one a line."""

from collections import Counter
from collections.abc import AsyncIterator, Collection, Iterator, Mapping
from contextlib import AsyncExitStack
from functools import partial
from typing import Any

import asyncpg
import msgspec
import nats.errors
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig

from common import discovery
from common.bus.bucket import Bucket
from common.bus.connect import connect
from common.bus.direct import direct
from common.config import Settings
from common.recorded import VERSION, VERSION_HEADER, Recorded, recorded_encoder
from common.store.fold import decoded, equal_to_fresh_fold, followed
from common.store.reader import EventReader
from common.store.values import folded
from tests.servers import until

PAGE = 1000

RECORD = {
    "positions are 1..n": """
        SELECT position FROM (SELECT position, row_number() OVER (ORDER BY position) AS place FROM {s}.events) AS e
        WHERE position <> place""",
    "versions of a stream are 1..n, in the order of positions": """
        SELECT stream, version FROM (SELECT stream, version, row_number() OVER (PARTITION BY stream ORDER BY position)
            AS place FROM {s}.events) AS e WHERE version <> place""",
    "the head is the last position and the number of events": """
        SELECT position, n, last FROM {s}.head, (SELECT count(*) AS n, coalesce(max(position), 0) AS last
            FROM {s}.events) AS e WHERE position <> n OR position <> last""",
    "recorded_at follows positions": """
        SELECT position FROM (SELECT position, recorded_at, lag(recorded_at) OVER (ORDER BY position) AS before
            FROM {s}.events) AS e WHERE recorded_at < before""",
    "an id has one receipt": """
        SELECT principal, command_id FROM {s}.receipts GROUP BY 1, 2 HAVING count(*) > 1""",
    "an event has the receipt of its command": """
        SELECT position FROM {s}.events AS e WHERE NOT EXISTS (SELECT FROM {s}.receipts AS r
            WHERE (r.principal, r.command_id, r.key, r.state) = (e.principal, e.command_id, e.stream, 'accepted'))""",
    "a receipt counts the events of its command": """
        SELECT principal, command_id FROM {s}.receipts LEFT JOIN (SELECT principal, command_id, count(*) AS n
            FROM {s}.events GROUP BY 1, 2) AS e USING (principal, command_id) WHERE events <> coalesce(n, 0)""",
    "a receipt points to the last event of its command, or to one before it": """
        SELECT r.principal, r.command_id FROM {s}.receipts AS r LEFT JOIN {s}.events AS e ON
            (r.position, r.version, r.principal, r.command_id, r.events - 1)
            = (e.position, e.version, e.principal, e.command_id, e.n)
        WHERE CASE WHEN r.events > 0 THEN e.position IS NULL
            ELSE r.position NOT BETWEEN 0 AND (SELECT position FROM {s}.head) END""",
}


async def all_violations(settings: Settings, principal: str, placed: Collection[str]) -> list[str]:
    """All checks on all contexts and read models. `placed` are ids of PlaceOrder commands that were answered 202."""
    async with AsyncExitStack() as stack:
        nc = await connect(settings, "admin")
        stack.push_async_callback(nc.close)
        writes = {name: await connected(stack, settings.write_dsn(name)) for name in discovery.contexts()}
        readers = {name: EventReader(connection, name) for name, connection in writes.items()}
        reads = await connected(stack, settings.read_dsn)
        found = await answer_violations(writes["order"], "order", principal, placed, "OrderPlaced")
        for name, reader in readers.items():
            found += await record_violations(writes[name], name) + await stream_violations(nc, reader)
        found += await table_violations(reads, writes, readers)
        return found + await bucket_violations(nc, readers)


async def connected(stack: AsyncExitStack, dsn: str) -> Any:
    """A connection for large questions to tables that nobody has analysed: hashed, not looked up row by row."""
    connection = await asyncpg.connect(dsn, server_settings={"enable_nestloop": "off"})
    stack.push_async_callback(connection.close)
    return connection


async def record_violations(connection: Any, schema: str) -> list[str]:
    """What is wrong with a context's events, receipts and head among themselves."""
    found = []
    for rule, sql in RECORD.items():
        rows = await connection.fetch(sql.format(s=f'"{schema}"'))
        found += [f"{schema}: {rule}: {', '.join(map(str, row))}" for row in rows]
    return found


async def answer_violations(
    connection: Any, schema: str, principal: str, ids: Collection[str], event_type: str
) -> list[str]:
    """Commands that were answered 202 and lack their one receipt or, being accepted, their one event."""
    receipts = await connection.fetch(
        f'SELECT command_id, state FROM "{schema}".receipts WHERE principal = $1 AND command_id = ANY($2)',
        principal,
        list(ids),
    )
    events = await connection.fetch(
        f'SELECT command_id FROM "{schema}".events WHERE principal = $1 AND command_id = ANY($2) AND type = $3',
        principal,
        list(ids),
        event_type,
    )
    answered, recorded = Counter(row[0] for row in receipts), Counter(row[0] for row in events)
    accepted = {row[0] for row in receipts if row[1] == "accepted"}
    found = [f"{schema}: {each} was taken and has {answered[each]} receipts" for each in ids if answered[each] != 1]
    return found + [
        f"{schema}: {each} has {recorded[each]} {event_type}" for each in ids if recorded[each] != (each in accepted)
    ]


async def stream_violations(nc: Client, reader: EventReader) -> list[str]:
    """Where a context's EVENTS, without strays, is not the record from the first position that it keeps to the last."""
    stream = f"EVENTS_{reader.context}"
    streamed = await events_of(nc, stream)
    recorded = {event.position: event async for event in pages(reader)}
    nothing_discarded = (await nc.jetstream().stream_info(stream)).state.first_seq <= 1
    first = 1 if nothing_discarded or not streamed else streamed[0][0]
    found = list(differences([each for each, _ in streamed], [each for each in recorded if each >= first]))
    found += [
        f"position {position} has other content than the record"
        for position, data in streamed
        if position in recorded and recorded_encoder.encode(recorded[position]) != data
    ]
    return [f"{stream}: {each}" for each in found]


def differences(found: list[int], wanted: list[int]) -> Iterator[str]:
    """Holes, repeats, what nobody knows, and whether the order is another."""
    counts, known = Counter(found), set(wanted)
    yield from (f"position {position} is missing" for position in wanted if not counts[position])
    yield from (f"position {position} is there {n} times" for position, n in counts.items() if n > 1)
    yield from (f"position {position} was never recorded" for position in counts if position not in known)
    if found != sorted(found):
        yield "positions are out of order"


async def events_of(nc: Client, stream: str) -> list[tuple[int, bytes]]:
    """Position and bytes of all messages of a stream that carry our header, read by nats-py's own consumer."""
    config = ConsumerConfig(ack_policy=AckPolicy.NONE)
    puller = await nc.jetstream().pull_subscribe("", stream=stream, config=config)
    left = (await puller.consumer_info()).num_pending or 0
    found = []
    try:
        while left > 0:
            for message in await puller.fetch(min(left, PAGE), timeout=10):
                left -= 1
                headers = message.headers or {}
                if headers.get(VERSION_HEADER) == VERSION:
                    found.append((int(headers["Daybook-Position"]), message.data))
    except nats.errors.TimeoutError:
        raise AssertionError(f"{stream} does not deliver {left} of its messages") from None
    finally:
        await puller.unsubscribe()
    return found


async def pages(reader: EventReader) -> AsyncIterator[Recorded]:
    after = 0
    while page := await reader.page(after, PAGE):
        for event in page:
            yield event
        after = page[-1].position


async def table_violations(reads: Any, writes: Mapping[str, Any], readers: Mapping[str, EventReader]) -> list[str]:
    """Where a reader's table, on either server, is not what a fresh fold of the record gives."""
    found = []
    for model in discovery.tables(discovery.read_models().values()):
        found += await equal_to_fresh_fold(reads, model, readers)
    for name, context in discovery.contexts().items():
        if context.reference:
            found += await equal_to_fresh_fold(writes[name], context.reference.model, readers, schema=name)
        if context.row:
            rows = await writes[name].fetch(ROWS.format(s=f'"{name}"'))
            found += [f"{name}: the row {row[0]} has version {row[1]}, its stream {row[2]}" for row in rows]
    return found


async def bucket_violations(nc: Client, readers: Mapping[str, EventReader]) -> list[str]:
    """Where a bucket is not what a fold of the record gives, once it reflects all of that."""
    found = []
    for model in discovery.buckets(discovery.read_models().values()):
        head = await readers[model.context].head()
        await until(
            partial(reflects, nc, Bucket(model), head.position), what=f"{model.name} to reflect {head.position}"
        )
        codec = followed([model], model.context)
        events = [decoded(codec, each) async for each in pages(readers[model.context])]
        wanted = {key: entry.value for key, entry in folded(model, 0, events, {}).items() if entry.value is not None}
        values = await bucket_values(nc, Bucket(model))
        keys = sorted(key for key in values.keys() | wanted.keys() if values.get(key) != wanted.get(key))
        found += [f"{model.name} {key}: bucket {values.get(key)}, fold {wanted.get(key)}" for key in keys]
    return found


async def reflects(nc: Client, bucket: Bucket, position: int) -> bool:
    _, progress = await bucket.progress(nc)
    return progress is not None and progress.position >= position


async def bucket_values(nc: Client, bucket: Bucket) -> dict[str, Any]:
    """All that lies there, by key, as any client would read it."""
    found: dict[str, Any] = {}
    start = 1
    while True:
        question = {"seq": start, "batch": PAGE, "next_by_subj": f"$KV.{bucket.model.name}.*"}
        page = await direct(nc, bucket.stream, question)
        if not page:
            return found
        for message in page:
            headers = message.headers or {}
            start = int(headers["Nats-Sequence"]) + 1
            if message.data:
                key = headers["Nats-Subject"].rpartition(".")[2]
                found[key] = msgspec.json.decode(message.data, type=bucket.model.value)


ROWS = """SELECT stream, r.version, e.version FROM {s}.rows AS r
    FULL JOIN (SELECT stream, max(version) AS version FROM {s}.events GROUP BY 1) AS e USING (stream)
    WHERE r.version IS DISTINCT FROM e.version"""
