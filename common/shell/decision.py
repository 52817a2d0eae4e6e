"""Deciding a batch in memory, in arrival order: each command gets its own answer, whatever its neighbours get."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Struct

from common.codec import EventCodec
from common.context import Claim, Context, Known
from common.dispatch import CommandDispatcher
from common.messages import Event, Rejected
from common.recorded import State
from common.shell.admission import Admitted, Dropped
from common.shell.vault import Vault
from common.store.append import Batch, NewEvent, NewParked, NewReceipt, net_claims
from common.store.load import CommandName, Loaded

log = logging.getLogger(__name__)

ClaimChange = tuple[Claim, str | None, str | None]


class Repeat(Struct, frozen=True):
    """A command whose id has an answer already; `same` tells whether it is the same command."""

    command: Admitted
    same: bool


class Draft(Struct):
    """What a batch comes to: what to write, and what to tell once it is written."""

    batch: Batch
    repeats: list[Repeat]
    states: dict[str, tuple[Any, int]]
    dropped: list[Dropped]


class Verdict(Struct, frozen=True):
    """One command's outcome before it is written down."""

    state: State
    events: Sequence[tuple[Event, str]] = ()
    after: Any = None
    claims: Sequence[ClaimChange] = ()
    code: str = ""
    message: str = ""
    detail: Mapping[str, Any] = {}


class Decider:
    """Decides batches for one context."""

    def __init__(self, context: Context, vault: Vault) -> None:
        self._context, self._vault = context, vault
        self._dispatcher = CommandDispatcher([context])
        self._codec = EventCodec(context.events)
        self._row = msgspec.json.Encoder()

    def decide(
        self, messages: Sequence[Admitted | Dropped], loaded: Loaded, condemned: Mapping[CommandName, str]
    ) -> Draft:
        """The draft of a batch. `condemned` commands are parked undecided, with the reason given."""
        draft = Draft(Batch({}, [], [], {}, {}, []), [], {}, [])
        table = Table(loaded)
        for message in messages:
            draft.batch.done[message.lease] = max(message.sequence, draft.batch.done.get(message.lease, 0))
            if isinstance(message, Dropped):
                draft.dropped.append(message)
            else:
                self._settle(message, table, draft, condemned)
        draft.batch.claims = net_claims(table.changes)
        draft.states = table.changed
        draft.batch.rows = self._rows(table)
        return draft

    def _rows(self, table: "Table") -> dict[str, tuple[int, str]]:
        if self._context.row is None:
            return {}
        return {stream: (version, self._row.encode(row).decode()) for stream, (row, version) in table.changed.items()}

    def _settle(self, command: Admitted, table: "Table", draft: Draft, condemned: Mapping[CommandName, str]) -> None:
        name = (command.principal, command.command_id)
        known_hash = table.hashes.get(name)
        if known_hash is not None:
            draft.repeats.append(Repeat(command, known_hash == command.hash))
            return
        verdict = self._verdict(command, table, condemned.get(name, ""))
        table.hashes[name] = command.hash
        if verdict.state == "parked":
            table.parked[command.key] = command.command_id
            draft.batch.parked.append(self._parked(command, verdict))
        self._write(command, verdict, table, draft.batch)

    def _verdict(self, command: Admitted, table: "Table", condemned: str) -> Verdict:
        try:
            if command.refusal:
                raise command.refusal
            if command.key in table.parked:
                return Verdict("parked", code="behind", message=f"behind {table.parked[command.key]}")
            if condemned:
                return Verdict("parked", code="crashed", message=condemned)
            return self._decided(command, table)
        except Rejected as rejected:
            return Verdict("rejected", code=rejected.code, message=str(rejected), detail=rejected.detail)
        except Exception as crash:
            log.exception("%s %s of %s crashed and is parked", command.type, command.command_id, command.principal)
            return Verdict("parked", code="crashed", message=f"{type(crash).__name__}: {crash}"[:500])

    def _decided(self, command: Admitted, table: "Table") -> Verdict:
        state, version = table.state(command.key)
        if command.expected_version not in (None, version):
            raise Rejected(
                "version-mismatch",
                f"expected version {command.expected_version}, but {command.key} is at version {version}",
                version=version,
            )
        known = Known(command.at, command.principal, command.roles, table.references)
        assert command.command is not None
        events, after = self._dispatcher.dispatch(command.command, state, known)
        encoded = [(event, self._codec.encode(self._vault.seal(event))) for event in events]
        return Verdict("accepted", encoded, after, self._claims(command.key, state, after, table) if events else ())

    def _claims(self, stream: str, before: Any, after: Any, table: "Table") -> list[ClaimChange]:
        held = {claim.normalised() for claim in self._context.claims(before)}
        holds = {claim.normalised() for claim in self._context.claims(after)}
        for claim in sorted(holds - held):
            if table.owner(claim) not in (None, stream):
                raise Rejected(self._context.claimed, f"the {claim.kind} {claim.value!r} is taken", kind=claim.kind)
        taken: list[ClaimChange] = [(claim, table.owner(claim), stream) for claim in sorted(holds - held)]
        return taken + [(claim, stream, None) for claim in sorted(held - holds)]

    def _write(self, command: Admitted, verdict: Verdict, table: "Table", batch: Batch) -> None:
        version = table.version(command.key)
        for n, (event, data) in enumerate(verdict.events):
            batch.events.append(
                NewEvent(
                    command.key,
                    version + n + 1,
                    type(event).__name__,
                    data,
                    n,
                    command.command_id,
                    command.principal,
                    command.correlation_id,
                    command.causation_id,
                    command.at,
                )
            )
        version += len(verdict.events)
        if verdict.events:
            table.change(command.key, verdict.after, version, verdict.claims)
        batch.receipts.append(
            NewReceipt(
                command.principal,
                command.command_id,
                command.hash,
                verdict.state,
                command.type,
                command.key,
                version,
                len(batch.events),
                len(verdict.events),
                verdict.code,
                verdict.message,
                msgspec.json.encode(verdict.detail).decode(),
                command.correlation_id,
                command.at,
            )
        )

    def _parked(self, command: Admitted, verdict: Verdict) -> NewParked:
        person = person_of(command)
        return NewParked(
            command.key,
            command.sequence,
            command.principal,
            command.command_id,
            command.type,
            command.correlation_id,
            command.causation_id,
            command.expected_version,
            person,
            self._vault.seal_bytes(person, command.body) if person else command.body.decode(),
            command.at,
            f"{verdict.code} {verdict.message}",
        )


class Table:
    """What is known while a batch is decided: as loaded, then as the batch's own decisions have changed it."""

    def __init__(self, loaded: Loaded) -> None:
        self.hashes = dict(loaded.hashes)
        self.references = loaded.references
        self.parked = dict(loaded.parked)
        self.changed: dict[str, tuple[Any, int]] = {}
        self.changes: list[ClaimChange] = []
        self._states = loaded.states
        self._claims: dict[Claim, str | None] = dict(loaded.claims)

    def state(self, stream: str) -> tuple[Any, int]:
        return self.changed.get(stream) or self._states[stream]

    def version(self, stream: str) -> int:
        """0 for a stream that was not asked for, because its command was refused before."""
        return self.changed[stream][1] if stream in self.changed else self._states.get(stream, (None, 0))[1]

    def owner(self, claim: Claim) -> str | None:
        """Raises KeyError for a claim that was not loaded: `may_claim` of the context did not name it."""
        return self._claims[claim]

    def change(self, stream: str, state: Any, version: int, claims: Sequence[ClaimChange]) -> None:
        self.changed[stream] = (state, version)
        self.changes.extend(claims)
        for claim, _, owner in claims:
            self._claims[claim] = owner


def person_of(command: Admitted) -> str:
    """Whose personal data the command holds, or an empty string."""
    if command.command is None or not command.command.declared.person:
        return ""
    return str(getattr(command.command, command.command.declared.person))
