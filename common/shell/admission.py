"""Admission: a stored message becomes a command that may be decided, or the reason why not."""

import hashlib
from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from common.codec import CommandCodec
from common.faults import storable
from common.messages import Command, Rejected
from common.recorded import (
    CAUSATION_HEADER,
    COMMAND_ID_HEADER,
    CORRELATION_HEADER,
    EXPECTED_VERSION_HEADER,
    VERSION,
    VERSION_HEADER,
)
from common.subjects import is_token, parse_work

REACTION = "reaction"
MAX_NAME = 64


class Stored(Protocol):
    """A message as the command stream keeps it."""

    @property
    def subject(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def headers(self) -> Mapping[str, str] | None: ...
    @property
    def sequence(self) -> int: ...
    @property
    def at(self) -> datetime: ...


class Admitted(Struct, frozen=True, gc=False):
    """A command with all that surrounds it. Exactly one of `command` and `refusal` is there."""

    lease: str
    sequence: int
    principal: str
    roles: frozenset[str]
    key: str
    type: str
    command_id: str
    correlation_id: str
    causation_id: str
    expected_version: int | None
    at: datetime
    body: bytes
    hash: str
    command: Command | None
    refusal: Rejected | None


class Dropped(Struct, frozen=True, gc=False):
    """A message that cannot be answered: not of our making, or without an id that a receipt could be kept under."""

    lease: str
    sequence: int
    reason: str


class Admission:
    """The door of one context's worker. It trusts the subject, never the body, and no reply header."""

    def __init__(self, context: str, commands: Iterable[type[Command]], roles: Mapping[str, frozenset[str]]) -> None:
        self._context = context
        self._codecs = {command.__name__: CommandCodec(command) for command in commands}
        self._roles = roles

    def admit(self, message: Stored) -> Admitted | Dropped:
        """Never raises: what is wrong with a message is part of the answer."""
        subject = parse_work(message.subject)
        headers = message.headers or {}
        command_id = headers.get(COMMAND_ID_HEADER, "")
        if headers.get(VERSION_HEADER) != VERSION:
            return Dropped(subject.partition, message.sequence, "no-version")
        if not is_token(command_id) or not is_token(subject.principal):
            return Dropped(subject.partition, message.sequence, "no-command-id")
        roles = self._roles.get(subject.principal, frozenset())
        command, digest, expected, refusal = None, "", None, None
        try:
            expected = expected_version(headers)
            codec = self._codec(subject.type, subject.key)
            command = codec.decode(subject.key, message.data)
            digest = codec.hash(command, expected)
            self._permit(codec, roles)
        except Rejected as rejected:
            command, refusal = None, rejected
            digest = digest or hash_of_the_undecodable(message)
        return Admitted(
            subject.partition,
            message.sequence,
            subject.principal,
            roles,
            subject.key if command else storable(subject.key[:MAX_NAME]),
            subject.type if command else storable(subject.type[:MAX_NAME]),
            command_id,
            token_or(headers.get(CORRELATION_HEADER), command_id),
            token_or(headers.get(CAUSATION_HEADER), "") if REACTION in roles else "",
            expected,
            message.at,
            message.data,
            digest,
            command,
            refusal,
        )

    def _codec(self, type_name: str, key: str) -> CommandCodec:
        codec = self._codecs.get(type_name)
        if codec is None:
            raise Rejected("unknown-command", f"{self._context} knows no command {type_name[:MAX_NAME]!r}")
        if not is_token(key):
            rule = f"the key {codec.command.declared.key} must be 1 to 64 letters, digits, '_' or '-'"
            raise Rejected("malformed", rule)
        return codec

    def _permit(self, codec: CommandCodec, roles: frozenset[str]) -> None:
        declared = codec.command.declared
        allowed = declared.roles if declared.post else frozenset({REACTION})
        if not allowed & roles:
            name = codec.command.__name__
            raise Rejected("not-allowed", f"{name} takes one of the roles: {', '.join(sorted(allowed))}")


def hash_of_the_undecodable(message: Stored) -> str:
    """What has no canonical form is the same only byte for byte."""
    return hashlib.sha256(message.subject.encode("utf-8", "replace") + b"\n" + message.data).hexdigest()


def expected_version(headers: Mapping[str, str]) -> int | None:
    """Raises `Rejected` when the header is there and is no version."""
    text = headers.get(EXPECTED_VERSION_HEADER)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        raise Rejected("malformed", f"the header {EXPECTED_VERSION_HEADER} must be a number of 1 to 18 digits")
    return int(text)


def token_or(text: str | None, other: str) -> str:
    return text if text and is_token(text) else other
