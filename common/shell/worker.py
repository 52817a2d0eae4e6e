"""The worker: decides a batch of commands and writes events, receipts and its place in one statement."""

import asyncio
import logging
import random
from collections.abc import Mapping, Sequence
from time import monotonic
from typing import Any

import asyncpg
import msgspec

from common.context import Context, Known
from common.faults import described, wordless
from common.messages import Rejected
from common.shell.admission import Admission, Admitted, Dropped, Stored
from common.shell.cache import Cache
from common.shell.clocks import UNTIMED, Clocks
from common.shell.decision import Decider, holder_of, known_of
from common.shell.lease import LeaseKeeper
from common.shell.patience import patiently
from common.shell.snapshots import Snapshots
from common.shell.telling import Outbox, Telling
from common.shell.vault import Keys, Vault
from common.shell.verdict import log_crash, person_of
from common.store.append import CountMismatch, LeaseLost, append
from common.store.leases import LeaseTable
from common.store.load import CommandName, Loaded, Loader, StreamState, Wanted, distinct
from common.store.reader import EventReader

log = logging.getLogger(__name__)

MOST_ATTEMPTS = 2
MOST_RACES, LONGEST_RACE_S = 100, 0.02
"""How often a race with another worker may be lost in a row, and the longest pause before the next try, in seconds."""
GIVE_UP_EVERY_S = 5.0

Condemned = Mapping[CommandName, str]
"""Commands that are parked undecided, each with the reason."""
NOBODY: Condemned = {}


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
        clocks: Clocks = UNTIMED,
    ) -> None:
        self._context, self._admission, self._pool, self._vault = context, admission, pool, vault
        self._leases = leases
        self._lease_table = LeaseTable(pool, context.name)
        self._loader, self._decider = Loader(context), Decider(context)
        self._cache = Cache(context.snapshot)
        self.snapshots = Snapshots(context, pool)
        self._telling = Telling(EventReader(pool, context.name), outbox, clocks)
        self.tally, self.hops, self.sizes = self._telling.tally, self._telling.hops, self._telling.sizes

    def forget(self) -> None:
        """Drops the cached states: they hold only while every append's outcome is known."""
        self._cache.clear()

    def _troubled(self, error: str) -> None:
        self.tally.error = error
        if error:
            self.forget()

    def admit(self, messages: Sequence[Stored]) -> list[Admitted | Dropped]:
        """Reads messages as commands. It needs nothing but time, and may be done while another batch is settled."""
        return [self._admission.admit(message) for message in messages]

    async def settle(self, batch: Sequence[Admitted | Dropped]) -> None:
        """Settles a batch, however long the database is away.

        Raises `LeaseLost` when another holds a lease by now: then this call has written nothing more.
        """
        await self._settle(batch, NOBODY)

    async def settle_carefully(self, admitted: Admitted | Dropped) -> None:
        """Settles a command that may have killed the process before: past two attempts it is parked undecided."""
        epoch = self._epochs([admitted])[admitted.lease]
        attempts = await patiently(
            lambda: self._lease_table.attempt(admitted.lease, epoch, admitted.sequence), self._troubled
        )
        condemned = {}
        if attempts > MOST_ATTEMPTS and isinstance(admitted, Admitted):
            condemned[name_of(admitted)] = f"the process died {attempts - 1} times while deciding it"
        await self._settle([admitted], condemned)

    async def _settle(self, batch: Sequence[Admitted | Dropped], condemned: Condemned) -> None:
        """Once, once more with fresh states, then in halves down to the guilty command (protocol P3)."""
        for _ in range(2):
            fault = await self._fault(batch, condemned)
            if not fault:
                return
        log.error("a batch of %d commands cannot be appended: %s", len(batch), fault)
        if len(batch) > 1:
            middle = len(batch) // 2
            await self._settle(batch[:middle], condemned)
            await self._settle(batch[middle:], condemned)
        elif isinstance(guilty := batch[0], Admitted) and name_of(guilty) not in condemned:
            await self._settle(batch, {name_of(guilty): fault})
        else:
            await self._give_up(batch[0])

    async def _fault(self, batch: Sequence[Admitted | Dropped], condemned: Condemned) -> str:
        """Settles the batch, or says what is wrong with it. Who lost a race for a stream or a claim tries again."""
        for _ in range(MOST_RACES):
            try:
                await patiently(lambda: self._attempt(batch, condemned), self._troubled)
                return ""
            except LeaseLost:
                raise
            except Exception as error:
                self.forget()
                fault = described(error)
                if not is_lost_race(error):
                    log_fault(batch, fault, error)
                    return fault
                await asyncio.sleep(random.uniform(0, LONGEST_RACE_S))
        return fault

    async def _give_up(self, message: Admitted | Dropped) -> None:
        """Writes the least that can be written, until it is: no message may stop a context."""
        plain = message if isinstance(message, Dropped) else stripped(message)
        while await self._fault([plain], NOBODY):
            self.tally.error = f"message {message.sequence} cannot be settled; see the log"
            await asyncio.sleep(GIVE_UP_EVERY_S)

    async def _attempt(self, batch: Sequence[Admitted | Dropped], condemned: Condemned) -> None:
        epochs = self._epochs(batch)
        commands = [message for message in batch if isinstance(message, Admitted)]
        condemned = dict(condemned)
        keys, loaded = await self._load(commands, epochs, condemned)
        draft = self._decider.decide(batch, loaded, keys, condemned)
        while draft.keyless:
            await self._vault.make(set(draft.keyless.values()))
            keys = await self._vault.find(person_of(command) for command in commands)
            draft = self._decider.decide(batch, loaded, keys, condemned)
        decided = monotonic()
        appended = await append(self._pool, self._context.name, epochs, draft.batch)
        by_stream = {command.key: epochs[command.lease] for command in commands if command.command}
        self._cache.keep(loaded.states | self.snapshots.note(draft.states, appended), by_stream)
        await self._telling.tell(draft, appended, decided)

    def _epochs(self, batch: Sequence[Admitted | Dropped]) -> dict[str, int]:
        try:
            return self._leases.epochs(distinct(message.lease for message in batch))
        except KeyError as name:
            raise LeaseLost(str(name)) from None

    async def _load(
        self, commands: Sequence[Admitted], epochs: Mapping[str, int], condemned: dict[CommandName, str]
    ) -> tuple[Keys, Loaded]:
        """What the batch needs. A condemned command needs nothing; whose needs cannot be told is condemned."""
        fingerprint = await self._vault.fingerprint()
        wanted = Wanted([name_of(command) for command in commands], [], [], [], [])
        cached: dict[str, StreamState] = {}
        for command in commands:
            if command.command and name_of(command) not in condemned:
                self._want(command, known_of(command, fingerprint, {}), wanted, condemned)
        for command in commands:
            # A refused one needs no state, and its key need not be one.
            if command.command and (state := self._cache.get(command.key, epochs[command.lease])):
                cached[command.key] = state
        wanted.holders = distinct(wanted.holders)
        wanted.streams = distinct(key for key, _ in wanted.holders if key not in cached)
        keys, loaded = await asyncio.gather(
            self._vault.find(person_of(command) for command in commands), self._loader.load(self._pool, wanted)
        )
        loaded.states.update(cached)
        return keys, loaded

    def _want(self, command: Admitted, known: Known, wanted: Wanted, condemned: dict[CommandName, str]) -> None:
        reference = self._context.reference
        try:
            claims = [claim.normalised() for claim in self._context.may_claim(command.command, known)]
            references = list(reference.needs(command.command)) if reference else []
        except Exception as crash:
            log_crash(log, command, "crashed and is parked", crash)
            condemned[name_of(command)] = described(crash)
            return
        wanted.holders.append(holder_of(self._context, command))
        wanted.claims += claims
        wanted.references += references


def log_fault(batch: Sequence[Admitted | Dropped], fault: str, error: Exception) -> None:
    """Postgres' own words may hold values; those of our code's faults are needed to find them."""
    if isinstance(error, asyncpg.PostgresError):
        log.error("a batch of %d: %s", len(batch), fault)
    elif any(isinstance(message, Admitted) and person_of(message) for message in batch):
        log.error("a batch of %d: %s", len(batch), wordless(error))
    else:
        log.error("a batch of %d: %s", len(batch), fault, exc_info=error)


RACED = ("claims_pkey", "events_pkey", "events_stream_version_key", "receipts_pkey")


def is_lost_race(error: Exception) -> bool:
    """Whether another worker has written what this one decided on: with fresh states the decision is another."""
    if isinstance(error, asyncpg.UniqueViolationError):
        return error.constraint_name in RACED
    return isinstance(error, CountMismatch)


def stripped(command: Admitted) -> Admitted:
    """The command without anything of its sender's: what is left is its id, and a refusal."""
    refusal = Rejected("unstorable", "this command cannot be stored")
    return msgspec.structs.replace(command, key="", type="", body=b"", command=None, refusal=refusal)


def name_of(command: Admitted) -> CommandName:
    return command.principal, command.command_id
