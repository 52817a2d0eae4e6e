"""Deciding a batch in memory, in arrival order: each command gets its own answer, whatever its neighbours get."""

import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from msgspec import Struct

from common.codec import EventCodec, event_encoder
from common.context import Context, Deadline, Known
from common.dispatch import CommandDispatcher
from common.faults import described, storable
from common.messages import Rejected
from common.recorded import State, derived_id
from common.shell.admission import REACTION, Admitted, Dropped
from common.shell.table import ClaimChange, Table
from common.shell.vault import Keys, MissingKey
from common.store.append import Batch, net_claims
from common.store.load import CommandName, Holder, Loaded, StreamState
from common.store.new_rows import NewDeadline, NewEvent, NewParked, NewReceipt

log = logging.getLogger(__name__)


class Repeat(Struct, frozen=True, gc=False):
    """A command whose id has an answer already; `same` tells whether it is the same command."""

    command: Admitted
    same: bool


class Draft(Struct):
    """What a batch comes to: what to write, and what to tell once it is written.

    `keyless` are the persons who need a key first, by stream: make their keys and decide again. `refused` are the
    answers to reactions that a rule has said no to.
    """

    batch: Batch
    repeats: list[Repeat]
    states: dict[str, StreamState]
    dropped: list[Dropped]
    keyless: dict[str, str]
    refused: list[NewReceipt] = []


class Verdict(Struct, frozen=True, gc=False):
    """One command's outcome, encoded: nothing that is done with it later can fail because of it.

    Deadlines come with the number of the event that says so.
    """

    state: State
    events: Sequence[tuple[str, str]] = ()
    after: Any = None
    row: str = ""
    claims: Sequence[ClaimChange] = ()
    deadlines: Sequence[tuple[int, Deadline]] = ()
    code: str = ""
    message: str = ""
    detail: str = "{}"
    sealed: str = ""


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
        if verdict.state == "rejected" and REACTION in command.roles:
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
            log.exception("%s %s of %s crashed and is parked", command.type, command.command_id, command.principal)
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
            batch.deadlines[command.key, deadline.name] = self._new_deadline(command, n, deadline)
        batch.receipts.append(new_receipt(command, verdict, version, len(batch.events)))

    def _new_deadline(self, command: Admitted, n: int, deadline: Deadline) -> NewDeadline:
        event_id = derived_id(command.principal, self._context.name, command.command_id, str(n))
        return NewDeadline(command.key, deadline.name, deadline.within, event_id, command.correlation_id)


def known_of(command: Admitted, fingerprint: Callable[[str], str], reference: Mapping[str, Any]) -> Known:
    """What the rules are told about a command."""
    return Known(command.at, command.principal, command.roles, reference, fingerprint)


def holder_of(context: Context, command: Admitted) -> Holder:
    """Behind what a command waits: of its key, what the context says, or all of it where that cannot be told."""
    if context.held_by is None or command.command is None:
        return command.key, command.key
    try:
        return command.key, context.held_by(command.command)
    except Exception:
        log.exception("%s %s: what holds it cannot be told", command.type, command.command_id)
        return command.key, command.key


def refused(rejected: Rejected) -> Verdict:
    """A rule has said no. A detail that cannot be written as JSON is a fault of the rule."""
    detail = event_encoder.encode(rejected.detail).decode()
    return Verdict("rejected", code=rejected.code, message=str(rejected), detail=detail)


def parked(command: Admitted, keys: Keys, code: str, reason: str) -> Verdict:
    """The command is set aside as it came; sealed, when it holds personal data."""
    person = person_of(command)
    body = keys.seal_bytes(person, command.body) if person else command.body.decode("utf-8", "replace")
    return Verdict("parked", code=code, message=reason, sealed=body)


def person_of(command: Admitted) -> str:
    """Whose personal data the command holds, or an empty string."""
    if command.command is None or not command.command.declared.person:
        return ""
    return str(getattr(command.command, command.command.declared.person))


def new_event(command: Admitted, type_name: str, data: str, version: int, n: int) -> NewEvent:
    return NewEvent(
        command.key,
        version,
        type_name,
        data,
        n,
        command.command_id,
        command.principal,
        command.correlation_id,
        command.causation_id,
        command.at,
    )


def new_receipt(command: Admitted, verdict: Verdict, version: int, offset: int) -> NewReceipt:
    return NewReceipt(
        command.principal,
        command.command_id,
        command.hash,
        verdict.state,
        command.type,
        command.key,
        version,
        offset,
        len(verdict.events),
        verdict.code,
        storable(verdict.message),
        verdict.detail,
        command.correlation_id,
        command.at,
    )


def new_parked(command: Admitted, holder: Holder, verdict: Verdict) -> NewParked:
    return NewParked(
        *holder,
        command.sequence,
        command.principal,
        command.command_id,
        command.type,
        command.correlation_id,
        command.causation_id,
        command.expected_version,
        person_of(command),
        storable(verdict.sealed),
        command.at,
        storable(f"{verdict.code} {verdict.message}"),
    )
