"""The verdict on one command, and the rows that it comes to."""

from collections.abc import Sequence
from logging import Logger
from typing import Any

from msgspec import Struct

from common.codec import event_encoder
from common.context import Deadline
from common.faults import storable, wordless
from common.messages import Rejected
from common.recorded import State, derived_id
from common.shell.admission import Admitted
from common.shell.table import ClaimChange
from common.shell.vault import Keys
from common.store.load import Holder
from common.store.new_rows import NewDeadline, NewEvent, NewParked, NewReceipt


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


def log_crash(log: Logger, command: Admitted, what: str, crash: Exception) -> None:
    """Says it of the command. Of one that holds personal data without the exception's words, which may hold it too."""
    name = f"{command.type} {command.command_id} of {command.principal}"
    if person_of(command):
        log.error("%s %s: %s", name, what, wordless(crash))
    else:
        log.error("%s %s", name, what, exc_info=crash)


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


def new_deadline(context: str, command: Admitted, n: int, deadline: Deadline) -> NewDeadline:
    """`n` is the number of the event that sets or ends it."""
    event_id = derived_id(command.principal, context, command.command_id, str(n))
    return NewDeadline(command.key, deadline.name, deadline.within, event_id, command.correlation_id)
