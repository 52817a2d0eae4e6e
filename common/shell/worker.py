"""The worker: decides a batch of commands and writes events, receipts and its place in one statement."""

import logging
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import asyncpg
import msgspec
from msgspec import Struct

from common.context import Context
from common.recorded import Receipt
from common.shell.admission import Admission, Admitted, Dropped, Stored
from common.shell.decision import Decider, Draft, Repeat, person_of
from common.shell.lease import LeaseKeeper
from common.shell.patience import patiently
from common.shell.vault import Vault
from common.store.append import Appended, CountMismatch, LeaseLost, NewReceipt, append
from common.store.leases import LeaseTable
from common.store.load import CommandName, Loaded, Loader, Wanted, distinct
from common.store.reader import EventReader

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 2
CACHED_STREAMS = 20_000
NOBODY: Mapping[CommandName, str] = {}


class Tally(Struct):
    """What a worker has done since it started, and the trouble it is in, if any."""

    accepted: int = 0
    rejected: int = 0
    parked: int = 0
    repeated: int = 0
    dropped: int = 0
    batches: int = 0
    error: str = ""


class Outbox(Struct, frozen=True):
    """Where a worker tells what it has written: `answered` gets receipts, `recorded` the last new position."""

    answered: Callable[[Sequence[Receipt]], Awaitable[None]]
    recorded: Callable[[int], Awaitable[None]]


class Worker:
    """Settles commands of one context under the leases that it holds."""

    def __init__(
        self,
        context: Context,
        admission: Admission,
        pool: Any,
        vault: Vault,
        leases: LeaseKeeper,
        outbox: Outbox,
    ) -> None:
        self._context, self._admission, self._pool, self._vault = context, admission, pool, vault
        self._leases, self._outbox = leases, outbox
        self._lease_table = LeaseTable(pool, context.name)
        self._loader, self._decider = Loader(context), Decider(context, vault)
        self._reader = EventReader(pool, context.name)
        self._cache: OrderedDict[str, tuple[Any, int]] = OrderedDict()
        self.tally = Tally()

    def forget(self) -> None:
        """Drops the cached states: they hold for one epoch only, and only while every append's outcome is known."""
        self._cache.clear()

    def _troubled(self, error: str) -> None:
        self.tally.error = error
        if error:
            self.forget()

    async def settle(self, messages: Sequence[Stored]) -> None:
        """Settles a batch, however long the database is away.

        Raises `LeaseLost` when another holds a lease by now: then this call has written nothing more.
        """
        await self._settle([self._admission.admit(message) for message in messages], NOBODY)

    async def settle_carefully(self, message: Stored) -> None:
        """Settles a command that may have killed the process before: past two attempts it is parked undecided."""
        admitted = self._admission.admit(message)
        epoch = self._epochs([admitted])[admitted.lease]
        attempts = await patiently(
            lambda: self._lease_table.attempt(admitted.lease, epoch, admitted.sequence), self._troubled
        )
        condemned = {}
        if attempts > MOST_ATTEMPTS and isinstance(admitted, Admitted):
            condemned[name_of(admitted)] = f"the process died {attempts - 1} times while deciding it"
        await self._settle([admitted], condemned)

    async def _settle(self, batch: Sequence[Admitted | Dropped], condemned: Mapping[CommandName, str]) -> None:
        """Once, once more with fresh states, then in halves down to the guilty command (protocol P3)."""
        for _ in range(2):
            try:
                return await patiently(lambda: self._attempt(batch, condemned), self._troubled)
            except (CountMismatch, asyncpg.PostgresError) as error:
                self.forget()
                fault = f"{type(error).__name__}: {error}"
        log.error("a batch of %d commands cannot be appended: %s", len(batch), fault)
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._settle(batch[:middle], condemned)
            return await self._settle(batch[middle:], condemned)
        guilty = batch[0]
        if isinstance(guilty, Dropped) or name_of(guilty) in condemned:
            raise RuntimeError(f"not even the place in the command stream can be written: {fault}")
        await self._settle(batch, {name_of(guilty): fault})

    async def _attempt(self, batch: Sequence[Admitted | Dropped], condemned: Mapping[CommandName, str]) -> None:
        commands = [message for message in batch if isinstance(message, Admitted)]
        epochs = self._epochs(batch)
        loaded = await self._load(commands)
        draft = self._decider.decide(batch, loaded, condemned)
        appended = await append(self._pool, self._context.name, epochs, draft.batch)
        self._remember(loaded, draft)
        await self._tell(draft, appended)

    def _epochs(self, batch: Sequence[Admitted | Dropped]) -> dict[str, int]:
        try:
            return self._leases.epochs(distinct(message.lease for message in batch))
        except KeyError as name:
            raise LeaseLost(str(name)) from None

    async def _load(self, commands: Sequence[Admitted]) -> Loaded:
        await self._vault.prepare(person for command in commands if (person := person_of(command)))
        decidable = [admitted for admitted in commands if admitted.command]
        streams = distinct(admitted.key for admitted in decidable)
        reference = self._context.reference
        wanted = Wanted(
            [name_of(command) for command in commands],
            [stream for stream in streams if stream not in self._cache],
            streams,
            [claim.normalised() for a in decidable for claim in self._context.may_claim(a.command)],
            distinct(key for a in decidable for key in reference.needs(a.command)) if reference else [],
        )
        loaded = await self._loader.load(self._pool, wanted)
        loaded.states.update((stream, self._cache[stream]) for stream in streams if stream in self._cache)
        return loaded

    def _remember(self, loaded: Loaded, draft: Draft) -> None:
        for stream, state in (loaded.states | draft.states).items():
            self._cache[stream] = state
            self._cache.move_to_end(stream)
        while len(self._cache) > CACHED_STREAMS:
            self._cache.popitem(last=False)

    async def _tell(self, draft: Draft, appended: Appended) -> None:
        self._count(draft)
        if draft.batch.events:
            await self._outbox.recorded(appended.base + len(draft.batch.events))
        receipts = [pushed(self._context.name, new, appended) for new in draft.batch.receipts]
        if draft.repeats:
            receipts += await self._answers(draft.repeats)
        await self._outbox.answered(receipts)

    async def _answers(self, repeats: Sequence[Repeat]) -> list[Receipt]:
        """The stored receipts of repeated commands; for another command under a used id a refusal, not stored."""
        answers = []
        for principal in distinct(repeat.command.principal for repeat in repeats):
            mine = [repeat for repeat in repeats if repeat.command.principal == principal]
            stored = await self._reader.receipts(principal, distinct(r.command.command_id for r in mine))
            answers += [stored[r.command.command_id] if r.same else refused(self._context.name, r) for r in mine]
        return answers

    def _count(self, draft: Draft) -> None:
        tally = self.tally
        tally.batches += 1
        tally.repeated += len(draft.repeats)
        tally.dropped += len(draft.dropped)
        for receipt in draft.batch.receipts:
            setattr(tally, receipt.state, getattr(tally, receipt.state) + 1)


def name_of(command: Admitted) -> CommandName:
    return command.principal, command.command_id


def pushed(context: str, new: NewReceipt, appended: Appended) -> Receipt:
    """A receipt as it now stands in the store."""
    return Receipt(
        context=context,
        command_id=new.command_id,
        principal=new.principal,
        state=new.state,
        type=new.type,
        key=new.key,
        version=new.version,
        position=appended.base + new.offset,
        events=new.events,
        code=new.code,
        message=new.message,
        detail=msgspec.json.decode(new.detail),
        accepted_at=new.accepted_at,
        recorded_at=appended.recorded_at,
        correlation_id=new.correlation_id,
        hash=new.hash,
    )


def refused(context: str, repeat: Repeat) -> Receipt:
    """The answer to another command under a used id. The id's own receipt stays as it is."""
    command = repeat.command
    return Receipt(
        context=context,
        command_id=command.command_id,
        principal=command.principal,
        state="rejected",
        type=command.type,
        key=command.key,
        code="command-id-used",
        message="this command id already belongs to another command",
        accepted_at=command.at,
        correlation_id=command.correlation_id,
        hash=command.hash,
    )
