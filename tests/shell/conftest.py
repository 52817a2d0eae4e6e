"""A worker at its desk: a context's store under a fresh name, and messages as the command stream would hand them on."""

import itertools
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import asyncpg
import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct

from common.config import Settings
from common.context import Context
from common.recorded import COMMAND_ID_HEADER, EXPECTED_VERSION_HEADER, VERSION, VERSION_HEADER, Receipt, Recorded
from common.shell import upkeep
from common.shell.admission import Admission
from common.shell.feed import partitions
from common.shell.lease import LeaseKeeper
from common.shell.telling import Outbox
from common.shell.vault import Vault
from common.shell.worker import Worker
from common.store.leases import LeaseTable
from common.store.migrate import KEYS_SCHEMA, migrate_schema
from common.store.pool import open_pool
from common.store.reader import EventReader
from tests.shell.lending import lending
from tests.shell.worlds import nc, other_world, world  # noqa: F401  # Fixtures of the reading side.

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
ROLES = {
    "alice": frozenset({"member"}),
    "bob": frozenset({"member"}),
    "guest": frozenset({"guest"}),
    "keeper": frozenset({"catalogue"}),
    "warehouse": frozenset({"warehouse"}),
    "storefront": frozenset({"storefront"}),
}

numbers = itertools.count(1)


class Message(Struct):
    """A stored command. `headers` may be changed by a test."""

    subject: str
    data: bytes
    headers: dict[str, str]
    sequence: int
    at: datetime


class Desk:
    """One worker with all leases of its context, and what it has pushed."""

    def __init__(self, context: Context, pool: Any, owner: Any, login: Any, leases: LeaseKeeper) -> None:
        self.context, self.name = context, context.name
        self.pool, self.owner, self.login, self.leases = pool, owner, login, leases
        self.table, self.reader = LeaseTable(pool, self.name), EventReader(pool, self.name)
        self.vault = Vault(pool, context.events)
        self.pushed: list[Receipt] = []
        self.recorded: list[Recorded] = []
        self._sequences = itertools.count(1)
        self.worker = self.make_worker(leases)

    def make_worker(self, leases: LeaseKeeper) -> Worker:
        roles = ROLES | {self.name: frozenset({"reaction"})}
        admission = Admission(self.name, self.context.commands, roles)
        return Worker(self.context, admission, self.pool, self.vault, leases, Outbox(self._answered, self._recorded))

    async def _answered(self, receipts: Sequence[Receipt]) -> None:
        self.pushed += receipts

    async def _recorded(self, events: Sequence[Recorded]) -> None:
        self.recorded += events

    def message(
        self,
        key: str,
        kind: str,
        command_id: str,
        *,
        principal: Any = "alice",
        expected: Any = None,
        body: Any = None,
        **fields: Any,
    ) -> Message:
        """The next message of the command stream."""
        headers = {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: command_id}
        if expected is not None:
            headers[EXPECTED_VERSION_HEADER] = str(expected)
        subject = f"work.{self.name}.0.{principal}.{key}.{kind}"
        data = msgspec.json.encode(fields) if body is None else body
        return Message(subject, data, headers, next(self._sequences), NOON)

    async def settle(self, *messages: Message) -> dict[str, Receipt]:
        """The receipts that were pushed, by command id."""
        before = len(self.pushed)
        await self.worker.settle(self.worker.admit(messages))
        return {receipt.command_id: receipt for receipt in self.pushed[before:]}

    async def events(self) -> list[tuple[str, int, str]]:
        return [(each.stream, each.version, each.type) for each in await self.reader.page(0, 1000)]

    async def count(self, table: str) -> int:
        found: int = await self.owner.fetchval(f'SELECT count(*) FROM "{self.name}".{table}')
        return found


@asynccontextmanager
async def open_desk(settings: Settings, context: Context) -> AsyncIterator[Desk]:
    """A desk for a context, whose store is made under the context's name."""
    dsn = settings.write_dsn(context.name)
    await migrate_schema(dsn, "context", context.name)
    await migrate_schema(settings.keys_dsn(), "keys", KEYS_SCHEMA)
    pool, owner, login = await open_pool(dsn, "writer"), await open_pool(dsn, "owner", 2), await asyncpg.connect(dsn)
    leases = LeaseKeeper(LeaseTable(pool, context.name), "first", partitions(), 60)
    await leases.keep()
    yield Desk(context, pool, owner, login, leases)
    await login.close()
    await owner.close()
    await pool.close()


@pytest.fixture(autouse=True)
def tables_are_looked_after_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ten times a second, not once: what a test waits for is then seen that much sooner."""
    monkeypatch.setattr(upkeep, "LOOK_S", 0.1)


@pytest_asyncio.fixture
async def desk(settings: Settings) -> AsyncIterator[Desk]:
    async with open_desk(settings, lending(f"lending{next(numbers)}")) as made:
        yield made
