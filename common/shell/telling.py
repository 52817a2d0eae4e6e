"""Telling what was written: receipts to those who asked, and to the relay that there is something new."""

import logging
from collections.abc import Awaitable, Callable, Sequence

import msgspec
from msgspec import Raw, Struct

from common.recorded import Receipt, Recorded
from common.shell.clocks import Clocks
from common.shell.decision import Draft, Repeat
from common.shell.durations import SIZES, Buckets, timed
from common.shell.hops import Hops
from common.store.append import Appended
from common.store.load import distinct
from common.store.new_rows import NewEvent, NewReceipt
from common.store.reader import EventReader

log = logging.getLogger(__name__)


class Tally(Struct):
    """What a worker has done since it started, and the trouble it is in, if any.

    `refused` are those of the rejected and of the parked that no person had sent, but a reaction.
    """

    accepted: int = 0
    rejected: int = 0
    refused: int = 0
    parked: int = 0
    repeated: int = 0
    dropped: int = 0
    recorded: int = 0
    batches: int = 0
    error: str = ""


class Outbox(Struct, frozen=True):
    """Where a worker tells what it has written: receipts to `answered`, new events to `recorded`.

    `deaf` are the principals who hear no receipts: nothing is told to them.
    """

    answered: Callable[[Sequence[Receipt]], Awaitable[None]]
    recorded: Callable[[Sequence[Recorded]], Awaitable[None]]
    deaf: frozenset[str] = frozenset()


class Telling:
    """Tells, counts and times for one worker."""

    def __init__(self, reader: EventReader, outbox: Outbox, clocks: Clocks) -> None:
        self._context, self._reader, self._outbox, self._clocks = reader.context, reader, outbox, clocks
        self.tally, self.hops = Tally(), Hops("accepted_to_decided", "decided_to_recorded")
        self.sizes = Buckets(SIZES)

    async def tell(self, draft: Draft, appended: Appended, decided: float) -> None:
        """Tells what became of a draft that was there at the monotonic time `decided`."""
        self._count(draft)
        self._time(draft.batch.receipts, appended, decided)
        if draft.batch.events:
            await self._outbox.recorded(in_record(self._context, draft.batch.events, appended))
        deaf = self._outbox.deaf
        receipts = [pushed(self._context, new, appended) for new in draft.batch.receipts if new.principal not in deaf]
        if repeats := [repeat for repeat in draft.repeats if repeat.command.principal not in deaf]:
            receipts += await self._answers(repeats)
        if receipts:
            await self._outbox.answered(receipts)

    async def _answers(self, repeats: Sequence[Repeat]) -> list[Receipt]:
        """The stored receipts of repeated commands; for another command under a used id a refusal, not stored."""
        answers = []
        for principal in distinct(repeat.command.principal for repeat in repeats):
            mine = [repeat for repeat in repeats if repeat.command.principal == principal]
            stored = await self._reader.receipts(principal, distinct(r.command.command_id for r in mine))
            answers += [stored[r.command.command_id] if r.same else refused(self._context, r) for r in mine]
        return answers

    def _count(self, draft: Draft) -> None:
        tally = self.tally
        tally.batches += 1
        self.sizes.add(len(draft.batch.receipts) + len(draft.repeats) + len(draft.dropped))
        tally.recorded += len(draft.batch.events)
        tally.repeated += len(draft.repeats)
        tally.dropped += len(draft.dropped)
        for receipt in draft.batch.receipts:
            setattr(tally, receipt.state, getattr(tally, receipt.state) + 1)
        for each in draft.refused:
            tally.refused += 1
            log.warning("a reaction of %s is refused: %s of %s: %s", each.principal, each.type, each.key, each.code)

    def _time(self, receipts: Sequence[NewReceipt], appended: Appended, decided: float) -> None:
        at = self._clocks.store.at(decided)
        seconds = None if at is None else appended.recorded_at.timestamp() - at
        self.hops.add("decided_to_recorded", seconds, len(receipts))
        for each, times in timed(receipts):
            self.hops.add("accepted_to_decided", self._clocks.bus.since(each.accepted_at, decided), times)


def in_record(context: str, events: Sequence[NewEvent], appended: Appended) -> list[Recorded]:
    """The events as they now stand in the store."""
    return [
        Recorded(
            context=context,
            incarnation=appended.incarnation,
            position=position,
            stream=event.stream,
            version=event.version,
            type=event.type,
            data=Raw(event.data),
            n=event.n,
            command_id=event.command_id,
            principal=event.principal,
            correlation_id=event.correlation_id,
            causation_id=event.causation_id,
            accepted_at=event.accepted_at,
            recorded_at=appended.recorded_at,
        )
        for position, event in enumerate(events, appended.base + 1)
    ]


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
        incarnation=appended.incarnation,
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
