"""What runs for one context in a process: its worker, relay, reactions and more, each where its lease lets it run."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

import msgspec
from nats.aio.client import Client

from common.bus.connect import BusErrors
from common.config import Settings
from common.context import Context
from common.dispatch import QueryDispatcher
from common.metrics import Sample
from common.recorded import Receipt
from common.shell.admission import REACTION, Admission
from common.shell.answers import Answers, asked_directly
from common.shell.arrival import Arrival
from common.shell.beating import BEAT_S, say
from common.shell.clocks import Clocks, bus_clock, store_clock
from common.shell.context_queries import context_queries, from_record
from common.shell.counted import of_bus, of_clocks, of_effects, of_reactions, of_relay, of_worker
from common.shell.effects import Effects
from common.shell.feed import STREAM, Feed, partitions
from common.shell.handover import Handover
from common.shell.history import Asker
from common.shell.lease import LeaseKeeper
from common.shell.leased import under_lease
from common.shell.outbox import bus_outbox
from common.shell.pools import pool_when_there
from common.shell.projection import Projection
from common.shell.reactions import Reactions
from common.shell.relay import Relay
from common.shell.vault import Vault
from common.shell.worker import Worker
from common.store.leases import LeaseTable
from common.store.read_schema import create_tables
from common.store.reader import EventReader

RELAY, REFERENCE, REACTIONS, EFFECTS = "relay", "reference", "reactions", "effects"


class ContextPart:
    """What runs for one context in this process."""

    def __init__(
        self,
        settings: Settings,
        context: Context,
        roles: Mapping[str, frozenset[str]],
        nc: Client,
        errors: BusErrors,
        writer: Any,
        reader: Any,
        keys: Any,
        reacting: bool,
    ) -> None:
        self._context, self._nc, self._errors, self._writer = context, nc, errors, writer
        self._roles = roles
        name = context.name
        self._settings, self._reading = settings, reader
        self._reader = EventReader(reader, name)
        handover = Handover(reader, name)
        self.vault = vault = Vault(keys, context.events)
        self._reactions: Reactions | None = None
        names = [*partitions(), RELAY, *([REFERENCE] if context.reference else [])]
        if reacting and (context.reactions or context.expire):
            self._reactions = Reactions(nc, context, writer, self._record, settings.batch)
            names.append(REACTIONS)
        self._effects: Effects | None = None
        if reacting and context.effect:
            self._effects = Effects(nc, context, writer, self._reader, settings.batch)
            names.append(EFFECTS)
        owner = f"{socket.gethostname()}-{os.getpid()}"
        table = LeaseTable(writer, name)
        self._leases = LeaseKeeper(table, owner, names, settings.lease_ttl_ms / 1000)
        admission = Admission(name, context.commands, roles)
        self._clocks = Clocks(bus_clock(nc, STREAM), store_clock(self._reader))
        # What reactions ask is settled by the receipt in the store; nobody waits for it to be told.
        reactions = frozenset(principal for principal, has in roles.items() if has == {REACTION})
        outbox = bus_outbox(nc, name, handover, reactions)
        self._worker = Worker(context, admission, writer, vault, self._leases, outbox, self._clocks)
        self._feed = Feed(nc, name, self._worker, self._leases, table, settings.batch)
        self._relay, self._handover = Relay(nc, handover, name, self._clocks.store), handover
        self._reference_trouble = self.metrics = ""
        dispatcher = QueryDispatcher(context_queries(context, vault.opened))
        arrival = Arrival(nc, self._reader, self._receipt)
        self.answers = Answers(dispatcher.queries, asked_directly(dispatcher, self._asker, from_record, arrival))

    @asynccontextmanager
    async def _asker(self, principal: str) -> AsyncIterator[Asker]:
        yield Asker(self._reader, principal, self._roles.get(principal, frozenset()))

    async def _receipt(self, principal: str, context: str, command_id: str) -> Receipt | None:
        return (await self._reader.receipts(principal, [command_id])).get(command_id)

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """All that has to run, each until cancelled."""
        works = [self._leases.run(), self._feed.run(), self._feed.purge(), self._beat()]
        works += [self._clocks.bus.run(), self._clocks.store.run()]
        works.append(under_lease(self._leases, RELAY, self._run_relay))
        if self._context.snapshot:
            works.append(self._worker.snapshots.run())
        if self._context.reference:
            works.append(under_lease(self._leases, REFERENCE, self._keep_reference))
        if self._reactions:
            works.append(under_lease(self._leases, REACTIONS, self._reactions.run))
        if self._effects:
            works.append(under_lease(self._leases, EFFECTS, self._effects.run))
        return works

    async def _run_relay(self) -> None:
        """While it runs here, it is woken without the bus."""
        self._handover.wake = self._relay.wake
        try:
            await self._relay.run()
        finally:
            self._handover.wake = None

    async def _keep_reference(self) -> None:
        """Keeps the context's own table of other contexts' facts, in its own schema."""
        assert self._context.reference
        model = self._context.reference.model
        async with AsyncExitStack() as stack:
            readers = {}
            for followed in model.follows:
                readers[followed] = await stack.enter_async_context(self._record(followed, self._troubled))
            name = self._context.name
            make = partial(create_tables, self._settings.write_dsn(name), [model], name)
            await Projection(self._nc, self._writer, [model], readers, schema=name, make=make).run()

    @asynccontextmanager
    async def _record(self, context: str, troubled: Callable[[str], None]) -> AsyncIterator[EventReader]:
        """The record of a context that this one follows; by connections that we have, when it lies beside our own."""
        dsn = self._settings.write_dsn(context)
        if dsn == self._settings.write_dsn(self._context.name):
            yield EventReader(self._reading, context)
            return
        pool = await pool_when_there(dsn, "reader", troubled)
        try:
            yield EventReader(pool, context)
        finally:
            pool.terminate()

    def _troubled(self, error: str) -> None:
        self._reference_trouble = error

    async def _beat(self) -> None:
        """Says each second where the record ends and how its parts are."""
        while True:
            await asyncio.sleep(BEAT_S)
            said: dict[str, dict[str, Any]] = {"worker": self._worker_beat()}
            if RELAY in self._leases.held:
                relay = self._relay
                said["relay"] = {
                    "position": relay.position,
                    "published": relay.published,
                    "overtaken": relay.overtaken,
                    "error": relay.last_error,
                    "stalled": relay.stalled,
                    "hops": relay.hops.last_minute(),
                }
            if self._effects and EFFECTS in self._leases.held:
                said["effects"] = self._effects.beat()
            for kind, beat in said.items():
                await say(self._nc, kind, self._context.name, beat)
            if self._reactions and REACTIONS in self._leases.held:
                for kind, beat in self._reactions.beats():
                    await say(self._nc, kind, self._context.name, beat)

    def samples(self) -> Iterator[Sample]:
        """What has been counted, as metrics."""
        name = self._context.name
        yield from of_worker(name, self._worker, self._partitions())
        yield from of_relay(name, self._relay)
        yield from of_clocks(name, self._clocks)
        if self._reactions:
            yield from of_reactions(name, self._reactions)
        if self._effects:
            yield from of_effects(name, self._effects)
        yield from of_bus(f"context-{name}", self._nc, self._errors)

    def _partitions(self) -> int:
        return sum(name in self._leases.held for name in partitions())

    def _worker_beat(self) -> dict[str, Any]:
        return {
            "partitions": self._partitions(),
            "metrics": self.metrics,
            "tally": msgspec.to_builtins(self._worker.tally),
            "error": self._worker.tally.error or self._reference_trouble,
            "denied": self._errors.counts["denied"],
            "hops": self._worker.hops.last_minute(),
            "clocks": self._clocks.offsets(),
        }
