"""The gateway's two connections, each made and kept in the background: a door that lacks its own says so at once."""

import asyncio
import logging
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from typing import Any

import nats.errors
from nats.aio.client import Client

from common.bus.api import stored_message
from common.bus.batches import Batches
from common.bus.connect import BusErrors, connect
from common.config import Settings
from common.metrics import Sample
from common.shell.counted import of_bus
from common.shell.patience import AWAY
from common.store.pool import InTurn, open_pool
from gateway.problems import later

log = logging.getLogger(__name__)

ACQUIRE_S, ANSWER_S = 2.0, 3.0


class Bus:
    """The connection to NATS. `nc` and `batches` raise a 503 problem while it is not there: nothing was sent then."""

    def __init__(self) -> None:
        self._nc: Client | None = None
        self._batches: Batches | None = None
        self._errors = BusErrors()
        self.connected = asyncio.Event()

    async def run(self, settings: Settings) -> None:
        """Connect, however long it takes, and stay until cancelled."""
        self._nc = await connect(settings, "gateway", self._errors)
        self._batches = Batches(self._nc)
        self.connected.set()
        try:
            await asyncio.Event().wait()
        finally:
            await self._nc.close()

    @property
    def nc(self) -> Client:
        if self._nc is None or not self._nc.is_connected:
            raise later("bus-away", "the message bus cannot be reached; nothing was sent")
        return self._nc

    @property
    def batches(self) -> Batches:
        if self._batches is None or not self._nc or not self._nc.is_connected:
            raise later("bus-away", "the message bus cannot be reached; nothing was sent")
        return self._batches

    async def message(self, timeout_s: float = 5.0, **which: Any) -> dict[str, Any] | None:
        """A message of the command stream, by `seq` or `next_by_subj`, or None. Raises `TimeoutError` and the like."""
        return await stored_message(self.nc, "COMMANDS", timeout_s, **which)

    def samples(self) -> Iterable[Sample]:
        """What is counted of the connection."""
        return of_bus("gateway", self._nc, self._errors)

    async def answers(self) -> bool:
        """Whether the command stream answers, by a real round trip."""
        try:
            await self.message(1.0, seq=1, next_by_subj="work.>")
        except (Exception, nats.errors.Error):
            return False
        return True


class ReadDatabase:
    """Connections to the read database, opened when first needed and after it was away."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._pool: InTurn | None = None
        self._opening = asyncio.Lock()

    @asynccontextmanager
    async def connection(self) -> AsyncIterator[Any]:
        """A connection for one short read. Raises a 503 problem while the database is away."""
        try:
            pool = self._pool or await self._open()
            async with pool.acquire(ACQUIRE_S) as connection:
                yield connection
        except AWAY as error:
            log.warning("the read database is away: %s", error or type(error).__name__)
            raise later("read-database-away", "the read database cannot be reached; commands are still taken") from None

    async def _open(self) -> InTurn:
        async with self._opening:
            if self._pool is None:
                self._pool = InTurn(await open_pool(self._dsn, "reader", 8, within_s=ANSWER_S))
        return self._pool

    async def answers(self) -> bool:
        """Whether it answers a statement, before long: queries in great number may be ahead of this one."""
        try:
            async with asyncio.timeout(ACQUIRE_S + 1.0), self.connection() as connection:
                return bool(await connection.fetchval("SELECT true"))
        except Exception:
            return False

    async def close(self) -> None:
        if self._pool is not None:
            self._pool.terminate()
