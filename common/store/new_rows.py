"""The rows that an append is about to write."""

from datetime import datetime, timedelta

from msgspec import Struct

from common.recorded import State


class NewEvent(Struct, frozen=True, gc=False):
    """An event about to be recorded; `n` counts within its command."""

    stream: str
    version: int
    type: str
    data: str
    n: int
    command_id: str
    principal: str
    correlation_id: str
    causation_id: str
    accepted_at: datetime


class NewReceipt(Struct, frozen=True, gc=False):
    """The answer to one command. `offset` counts the batch's events up to and with its own last one."""

    principal: str
    command_id: str
    hash: str
    state: State
    type: str
    key: str
    version: int
    offset: int
    events: int
    code: str
    message: str
    detail: str
    correlation_id: str
    accepted_at: datetime


class NewParked(Struct, frozen=True, gc=False):
    """A command set aside, as it came; `body` is sealed when it holds personal data of `person`.

    Later commands of its key that are held by the same wait behind it.
    """

    key: str
    held_by: str
    sequence: int
    principal: str
    command_id: str
    type: str
    correlation_id: str
    causation_id: str
    expected_version: int | None
    person: str
    body: str
    accepted_at: datetime
    reason: str


class NewDeadline(Struct, frozen=True, gc=False):
    """A deadline of a stream, counted from when the batch is recorded; `within` None: it holds no longer.

    `event_id` and `correlation_id` are of the event that says so.
    """

    stream: str
    name: str
    within: timedelta | None
    event_id: str
    correlation_id: str
