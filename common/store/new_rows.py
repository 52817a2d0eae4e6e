"""The rows that an append is about to write."""

from datetime import datetime

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
    """A command set aside, as it came; `body` is sealed when it holds personal data of `person`."""

    key: str
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
