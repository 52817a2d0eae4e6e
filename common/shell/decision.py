"""Deciding a batch in memory, in arrival order: each command gets its own answer, whatever its neighbours get."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from common.codec import EventCodec, event_encoder
from common.context import Context, Known
from common.dispatch import CommandDispatcher
from common.faults import described
from common.messages import Rejected
from common.shell.admission import REACTION, Admitted, Dropped
from common.shell.table import ClaimChange, Table
from common.shell.vault import Keys, MissingKey
from common.shell.verdict import Verdict, log_crash, new_deadline, new_event, new_parked, new_receipt, parked, refused
from common.store.append import Batch, net_claims
from common.store.load import CommandName, Holder, Loaded, StreamState
from common.store.new_rows import NewReceipt

log = logging.getLogger(__name__)


class Repeat(Struct, frozen=True, gc=False):
    """A command whose id has an answer already; `same` tells whether it is the same command."""

    command: Admitted
    same: bool


class Draft(Struct):
    """What a batch comes to: what to write, and what to tell once it is written.

    `keyless` are the persons who need a key first, by stream: make their keys and decide again. `refused` are the
    answers to reactions that a rule has said no to, or that are parked.
    """

    batch: Batch
    repeats: list[Repeat]
    states: dict[str, StreamState]
    dropped: list[Dropped]
    keyless: dict[str, str]
    refused: list[NewReceipt] = []


class Decider:
    """Decides batches for one context."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._dispatcher = CommandDispatcher([context])
        self._codec = EventCodec(context.events)

    def decide(
        self, messages: Sequence[Admitted | Dropped], loaded: Loaded, keys: Keys, condemned: Mapping[CommandName, str]
    ) -> Draft:
        """The draft of a batch. `condemned` commands are parked undecided, with the reason given."""
        draft = Draft(Batch({}, [], [], {}, {}, []), [], {}, [], {})
        table = Table(loaded)
        for message in messages:
            draft.batch.done[message.lease] = max(message.sequence, draft.batch.done.get(message.lease, 0))
            if isinstance(message, Dropped):
                draft.dropped.append(message)
            else:
                self._settle(message, table, draft, keys, condemned)
        draft.batch.claims = net_claims(table.changes)
        draft.states = table.changed
        return draft

    def _settle(
        self, command: Admitted, table: Table, draft: Draft, keys: Keys, condemned: Mapping[CommandName, str]
    ) -> None:
        if command.key in draft.keyless:
            return  # What comes before on its stream is not decided yet.
        name = (command.principal, command.command_id)
        known_hash = table.hashes.get(name)
        if known_hash is not None:
            draft.repeats.append(Repeat(command, known_hash == command.hash))
            return
        try:
            verdict = self._verdict(command, table, keys, condemned.get(name, ""))
        except MissingKey as missing:
            draft.keyless[command.key] = missing.person
            return
        table.hashes[name] = command.hash
        if verdict.state == "parked":
            holder = holder_of(self._context, command)
            table.parked[holder] = command.command_id
            draft.batch.parked.append(new_parked(command, holder, verdict))
        self._write(command, verdict, table, draft.batch)
        if verdict.state != "accepted" and REACTION in command.roles:
            draft.refused.append(draft.batch.receipts[-1])

    def _verdict(self, command: Admitted, table: Table, keys: Keys, condemned: str) -> Verdict:
        """Raises nothing but `MissingKey`."""
        if condemned:
            return parked(command, keys, "crashed", condemned)
        try:
            return self._judged(command, table, keys)
        except MissingKey:
            raise
        except Exception as crash:
            log_crash(log, command, "crashed and is parked", crash)
            return parked(command, keys, "crashed", described(crash))

    def _judged(self, command: Admitted, table: Table, keys: Keys) -> Verdict:
        try:
            if command.refusal:
                raise command.refusal
            if table.parked and (before := table.parked.get(holder_of(self._context, command))):
                return parked(command, keys, "behind", f"behind {before}")
            return self._decided(command, table, keys)
        except Rejected as rejected:
            return refused(rejected)

    def _decided(self, command: Admitted, table: Table, keys: Keys) -> Verdict:
        stream = table.stream(command.key)
        assert command.command is not None and stream is not None
        if stream.broken:
            return parked(command, keys, "crashed", stream.broken)
        if command.expected_version not in (None, stream.version):
            raise Rejected(
                "version-mismatch",
                f"expected version {command.expected_version}, but {command.key} is at version {stream.version}",
                version=stream.version,
            )
        known = known_of(command, keys.fingerprint, table.references)
        events, after = self._dispatcher.dispatch(command.command, stream.state, known, keys.seal)
        if not events:
            return Verdict("accepted")
        encoded = [(type(event).__name__, self._codec.encode(event)) for event in events]
        row = event_encoder.encode(after).decode() if self._context.row else ""
        claims = self._claims(command.key, stream.state, after, table)
        deadlines = [(n, deadline) for n, event in enumerate(events) for deadline in self._context.deadlines(event)]
        return Verdict("accepted", encoded, after, row, claims, deadlines)

    def _claims(self, stream: str, before: Any, after: Any, table: Table) -> list[ClaimChange]:
        held = {claim.normalised() for claim in self._context.claims(before)}
        holds = {claim.normalised() for claim in self._context.claims(after)}
        for claim in sorted(holds - held):
            if table.owner(claim) not in (None, stream):
                raise Rejected(self._context.claimed, f"this {claim.kind} is taken", kind=claim.kind)
        taken: list[ClaimChange] = [(claim, table.owner(claim), stream) for claim in sorted(holds - held)]
        return taken + [(claim, stream, None) for claim in sorted(held - holds)]

    def _write(self, command: Admitted, verdict: Verdict, table: Table, batch: Batch) -> None:
        stream = table.stream(command.key)
        version = stream.version if stream else 0
        for n, (type_name, data) in enumerate(verdict.events):
            batch.events.append(new_event(command, type_name, data, version + n + 1, n))
        if verdict.events:
            version += len(verdict.events)
            added = sum(len(data) for _, data in verdict.events)
            table.change(command.key, verdict.after, version, added, verdict.claims)
            if verdict.row:
                batch.rows[command.key] = (version, verdict.row)
        for n, deadline in verdict.deadlines:
            batch.deadlines[command.key, deadline.name] = new_deadline(self._context.name, command, n, deadline)
        batch.receipts.append(new_receipt(command, verdict, version, len(batch.events)))


def known_of(command: Admitted, fingerprint: Callable[[str], str], reference: Mapping[str, Any]) -> Known:
    """What the rules are told about a command."""
    return Known(command.at, command.principal, command.roles, reference, fingerprint)


def holder_of(context: Context, command: Admitted) -> Holder:
    """Behind what a command waits: of its key, what the context says, or all of it where that cannot be told."""
    if context.held_by is None or command.command is None:
        return command.key, command.key
    try:
        return command.key, context.held_by(command.command)
    except Exception as crash:
        log_crash(log, command, "is held by all of its key: what holds it cannot be told", crash)
        return command.key, command.key
