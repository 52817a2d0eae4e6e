"""A context of its own on the run's servers: its record, its stream of events, and tables to project into."""

import itertools
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest_asyncio
from msgspec import Struct
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.bus.connect import connect
from common.config import Settings
from common.messages import Event
from common.readmodel import ReadModel
from common.recorded import INCARNATION_HEADER, POSITION_HEADER, VERSION, VERSION_HEADER, Recorded, recorded_encoder
from common.shell.patience import AWAY
from common.shell.projection import Projection
from common.store.append import Batch, append
from common.store.fold import equal_to_fresh_fold
from common.store.leases import LeaseTable
from common.store.migrate import migrate_schema
from common.store.pool import open_pool
from common.store.read_schema import create_tables
from common.store.reader import EventReader
from common.subjects import event_subject
from tests.servers import TEST_USER
from tests.shell.toys import new_event

numbers = itertools.count(1)


class World(Struct):
    """One context, its record on the write server and its tables on the read server."""

    name: str
    settings: Settings
    nc: Client
    writer: Any
    reads: Any
    reader: EventReader
    epochs: dict[str, int]
    versions: Counter[str]

    @property
    def stream(self) -> str:
        return f"EVENTS_{self.name}"

    @property
    def schema(self) -> str:
        """Where its read tables are."""
        return f"read_{self.name}"

    async def record(self, *events: tuple[str, Event]) -> None:
        """Appends events to streams, all in one batch."""
        new = []
        for stream, event in events:
            self.versions[stream] += 1
            new.append(new_event(stream, self.versions[stream], event))
        await append(self.writer, self.name, self.epochs, Batch({}, new, [], {}, {}, []))

    async def publish(self, *events: Recorded) -> None:
        """Puts events into the stream as the relay would, whatever their order."""
        for event in events:
            headers = {
                VERSION_HEADER: VERSION,
                POSITION_HEADER: str(event.position),
                INCARNATION_HEADER: event.incarnation,
            }
            subject = event_subject(event.context, event.type, event.stream)
            await self.nc.jetstream().publish(subject, recorded_encoder.encode(event), headers=headers)

    async def owner_says(self, statement: str) -> None:
        """Does to the record what no role of ours may do in life."""
        connection = await asyncpg.connect(self.settings.write_dsn(self.name))
        await connection.execute(statement.format(s=self.name))
        await connection.close()

    async def tables(self, *models: ReadModel) -> None:
        await create_tables(self.settings.read_dsn, models, self.schema)

    def projection(self, *models: ReadModel, **options: Any) -> Projection:
        return Projection(self.nc, self.reads, models, {self.name: self.reader}, schema=self.schema, **options)

    async def differences(self, *models: ReadModel) -> list[str]:
        """Between the tables and a fresh fold of the record."""
        found = [await equal_to_fresh_fold(self.reads, each, {self.name: self.reader}, self.schema) for each in models]
        return [line for lines in found for line in lines]

    async def reached(self, model: ReadModel, position: int) -> bool:
        """Whether the model's table reflects a position of this context."""
        question = f"SELECT position FROM {self.schema}.checkpoints WHERE model = $1 AND context = $2"
        try:
            at = await self.reads.fetchval(question, model.name, self.name)
        except AWAY:
            return False
        return at is not None and at >= position

    async def streamed(self) -> list[int]:
        """The positions in the stream, in its order; 0 for a stray."""
        info = await ask_jetstream(self.nc, f"STREAM.INFO.{self.stream}", {})
        positions = []
        for sequence in range(info["state"]["first_seq"], info["state"]["last_seq"] + 1):
            message = await self.nc.jetstream().get_msg(self.stream, seq=sequence)
            positions.append(int((message.headers or {}).get(POSITION_HEADER, 0)))
        return positions

    async def make_stream(self) -> None:
        """As provisioning makes it, but that messages may be deleted, so that a test can make holes."""
        config = {
            "name": self.stream,
            "subjects": [f"event.{self.name}.>"],
            "storage": "file",
            "persist_mode": "async",
            "discard": "old",
            "max_bytes": 64 * 1024 * 1024,
        }
        await ask_jetstream(self.nc, f"STREAM.CREATE.{self.stream}", config)

    async def close(self) -> None:
        await self.writer.close()
        await self.reads.close()
        if not self.nc.is_closed:
            await ask_jetstream(self.nc, f"STREAM.DELETE.{self.stream}", {})


async def new_world(settings: Settings, nc: Client, *, stream: bool = True) -> World:
    name = f"jars{next(numbers)}"
    dsn = settings.write_dsn(name)
    await migrate_schema(dsn, "context", name)
    await create_tables(settings.read_dsn, [], f"read_{name}")
    writer = await open_pool(dsn, "writer")
    leases = LeaseTable(writer, name)
    await leases.ensure(["0"])
    (lease,) = await leases.take("test", await leases.all())
    reads = await open_pool(settings.read_dsn, "writer", 8)
    world = World(name, settings, nc, writer, reads, EventReader(writer, name), {"0": lease.epoch}, Counter())
    if stream:
        await world.make_stream()
    return world


@pytest_asyncio.fixture(scope="session")
async def nc(settings: Settings) -> AsyncIterator[Client]:
    """A connection that may do everything."""
    connection = await connect(settings, TEST_USER)
    yield connection
    await connection.close()


@pytest_asyncio.fixture
async def world(settings: Settings, nc: Client) -> AsyncIterator[World]:
    """A context of its own."""
    made = await new_world(settings, nc)
    yield made
    await made.close()


@pytest_asyncio.fixture
async def other_world(settings: Settings, nc: Client) -> AsyncIterator[World]:
    """A second context."""
    made = await new_world(settings, nc)
    yield made
    await made.close()
