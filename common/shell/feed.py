"""The feed: hands a worker the commands of its partitions, from the place where each was left (protocol P2)."""

import asyncio
import logging
from collections.abc import Sequence

import nats.errors
from nats.aio.client import Client

from common.bus.api import ApiError, ask_jetstream
from common.bus.pull import Puller
from common.shell.admission import Admitted, Dropped, Stored
from common.shell.lease import LeaseKeeper
from common.shell.patience import patiently
from common.shell.worker import Worker
from common.store.append import LeaseLost
from common.store.leases import LeaseTable
from common.subjects import PARTITIONS, STRAY, partition_of

log = logging.getLogger(__name__)

STREAM = "COMMANDS"
PURGE_EVERY_S = 5.0
ASK_AGAIN_S = 0.5


def partitions() -> tuple[str, ...]:
    """The leases under which commands are settled: one for each partition, one for strays."""
    return (*(str(p) for p in range(PARTITIONS)), STRAY)


def filters(context: str, held: Sequence[str]) -> list[str]:
    """What a consumer over these partitions filters by; all of them together need but one subject."""
    numbered = [name for name in held if name != STRAY]
    work = [f"work.{context}.>"] if len(numbered) == PARTITIONS else [f"work.{context}.{p}.>" for p in numbered]
    return work + ([f"command.*.{context}.>"] if STRAY in held else [])


class Feed:
    """Feeds one worker. `done` is the last settled sequence by partition, as the leases had it and as it went on."""

    def __init__(
        self, nc: Client, context: str, worker: Worker, leases: LeaseKeeper, table: LeaseTable, batch: int
    ) -> None:
        self._nc, self._context, self._worker, self._batch = nc, context, worker, batch
        self._leases, self._table = leases, table
        self._names = partitions()
        self._careful = 0
        self._source, self._remade, self._through = "", False, 0
        self._purged: dict[str, int] = {}
        self.done: dict[str, int] = {}

    async def run(self) -> None:
        """Until cancelled."""
        while True:
            await self._leases.wait_until_held(*self._names)
            try:
                await self._run_held()
            except LeaseLost as lost:
                log.warning("%s: another worker holds %s by now", self._context, lost)
                await self._leases.lost()
            except Exception:
                self._leases.suspect = True
                raise

    async def _run_held(self) -> None:
        """Feeds until the set of partitions changes."""
        generation = self._leases.generation
        held = [name for name in self._names if name in self._leases.held]
        self._worker.forget()
        self._source = await self._patient_source()
        self.done = await self._places(held)
        if self._leases.unclean:
            # The worker before died with a batch in hand. If a command killed it, that one must not kill us for ever.
            self._leases.unclean, self._careful = False, self._batch
        puller = Puller(self._nc, STREAM, filters(self._context, held), min(self.done.values()) + 1, batch=self._batch)
        try:
            await self._feed(puller, generation)
        finally:
            await puller.close()

    async def _feed(self, puller: Puller, generation: int) -> None:
        """Settles batch after batch. While one is being written, the next one is already read."""
        settling: asyncio.Task[None] | None = None
        try:
            while True:
                batch = self._fresh(await puller.take(self._batch, timeout=1.0))
                if settling:
                    await settling
                if self._leases.generation != generation or self._remade:
                    return  # What was taken belongs to whoever holds the leases now; it is delivered again.
                settling = asyncio.create_task(self._settle(batch)) if batch else None
        finally:
            if settling:
                settling.cancel()
                await asyncio.gather(settling, return_exceptions=True)

    async def _places(self, held: Sequence[str]) -> dict[str, int]:
        """Where to go on. A stream made anew counts from 1 again, so the places in the one before it mean nothing."""
        self._purged, self._remade, self._through = {}, False, 0
        leases = {name: self._leases.held[name] for name in held if name in self._leases.held}
        foreign = {name: lease.epoch for name, lease in leases.items() if lease.source != self._source}
        if foreign:
            kept = await patiently(lambda: self._table.rewind(foreign, self._source))
            if kept != set(foreign):
                raise LeaseLost(", ".join(sorted(set(foreign) - kept)))
        return {name: 0 if name in foreign else lease.done for name, lease in leases.items()}

    async def _patient_source(self) -> str:
        """When the command stream was made, as soon as the bus says so."""
        while True:
            if source := await self._find_source():
                return source
            await asyncio.sleep(ASK_AGAIN_S)

    async def _find_source(self) -> str:
        try:
            return str((await ask_jetstream(self._nc, f"STREAM.INFO.{STREAM}", {}))["created"])
        except (ApiError, nats.errors.Error) as error:
            log.warning("the command stream cannot be asked: %s", error or type(error).__name__)
            return ""

    def _fresh(self, messages: Sequence[Stored]) -> list[Admitted | Dropped]:
        """The commands among the messages that are not settled yet; a consumer over many partitions repeats some."""
        placed = ((partition_of(message.subject), message) for message in messages)
        return self._worker.admit([m for name, m in placed if m.sequence > self.done.get(name, m.sequence)])

    async def _settle(self, batch: Sequence[Admitted | Dropped]) -> None:
        careful, rest = batch[: self._careful], batch[self._careful :]
        for message in careful:
            await self._worker.settle_carefully(message)
            self._careful -= 1
        if rest:
            await self._worker.settle(rest)
        for message in batch:
            self.done[message.lease] = message.sequence
        self._through = batch[-1].sequence

    async def purge(self) -> None:
        """Until cancelled: removes settled commands, so that the stream holds the undecided ones (protocol P9)."""
        while True:
            await asyncio.sleep(PURGE_EVERY_S)
            if (source := await self._find_source()) and source != self._source:
                self._remade = True
                continue
            for subject, done in self._settled().items():
                if done > self._purged.get(subject, 0):
                    await self._purge(subject, done)

    def _settled(self) -> dict[str, int]:
        """Up to where commands are settled, by subject; with all partitions held, what has come through is."""
        held = {name: done for name, done in self.done.items() if name in self._leases.held}
        stray = {f"command.*.{self._context}.>": held.pop(STRAY, 0)}
        if len(held) == PARTITIONS:
            return {f"work.{self._context}.>": self._through} | stray
        return {f"work.{self._context}.{name}.>": done for name, done in held.items()} | stray

    async def _purge(self, subject: str, done: int) -> None:
        try:
            await ask_jetstream(self._nc, f"STREAM.PURGE.{STREAM}", {"filter": subject, "seq": done + 1})
        except (ApiError, nats.errors.Error) as error:
            log.warning("settled commands of %s stay for now: %s", subject, error)
        else:
            self._purged[subject] = done
