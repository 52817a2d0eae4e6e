"""Strict decoding of commands and queries, the same at every door, and the hash that tells one body from another."""

import hashlib
from collections.abc import Mapping
from typing import Any

import msgspec
from msgspec import Struct

from common.messages import Command, Event, Rejected
from common.personal import Personal, decode_personal, decode_sealed, encode_personal

MAX_BODY = 64 * 1024
"""Bytes of a body, at most, at either door."""

_canonical = msgspec.json.Encoder(order="deterministic", enc_hook=encode_personal)
event_encoder = msgspec.json.Encoder(enc_hook=encode_personal)


class CommandCodec:
    """Decodes the body of one type of command. The key is not part of the body; the decoder fills it in."""

    def __init__(self, command: type[Command]) -> None:
        self.command = command
        self.body = body_type(command)
        self._decoder = msgspec.json.Decoder(self.body, dec_hook=decode_sealed)

    def decode(self, key: str, body: bytes) -> Command:
        """Raises `Rejected` with code `malformed` that names the field and the rule."""
        decoded = strictly(self._decoder, body or b"{}")
        return self.command(key, *msgspec.structs.astuple(decoded))

    def hash(self, command: Command, expected_version: int | None = None) -> str:
        """sha256 over type, key, canonical body without the key, and the expected version if one was given."""
        digest = hashlib.sha256(f"{type(command).__name__}\n{command_key(command)}\n".encode())
        digest.update(_canonical.encode(self.body(*msgspec.structs.astuple(command)[1:])))
        if expected_version is not None:
            digest.update(f"\n{expected_version}".encode())
        return digest.hexdigest()


def command_key(command: Command) -> str:
    """The value of the key field: what the subject carries and what is ordered."""
    key: str = getattr(command, command.declared.key)
    return key


def body_type(command: type[Command]) -> Any:
    """The command's fields but for its key, as a struct of their own."""
    fields = msgspec.structs.fields(command)[1:]
    specs: list[Any] = [
        (f.name, f.type)
        if f.required
        else (
            f.name,
            f.type,
            msgspec.field(default=f.default)
            if f.default is not msgspec.NODEFAULT
            else msgspec.field(default_factory=f.default_factory),
        )
        for f in fields
    ]
    return msgspec.defstruct(command.__name__, specs, frozen=True, forbid_unknown_fields=True, gc=False)


def strictly(decoder: "msgspec.json.Decoder[Any]", body: bytes) -> Any:
    """Decodes, and refuses what JSON readers disagree about. Of a repeated name the last value counts.

    Raises `Rejected` with code `malformed` or `too-large`.
    """
    if len(body) > MAX_BODY:
        raise Rejected("too-large", f"the body has {len(body)} bytes; at most {MAX_BODY} are taken")
    try:
        decoded = decoder.decode(body)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise Rejected("malformed", str(error)) from None
    except RecursionError:
        raise Rejected("malformed", "the body is nested too deeply") from None
    if b"\\u0000" in body and (path := path_of_nul(decoded, "$")):
        raise Rejected("malformed", f"the character U+0000 is not taken - at `{path}`")
    return decoded


def path_of_nul(value: Any, path: str) -> str:
    """Where a string holds U+0000, or an empty string. Only bodies with its escape in them come this far."""
    match value:
        case str():
            return path if "\0" in value else ""
        case Struct():
            inner = [(f"{path}.{name}", getattr(value, name)) for name in value.__struct_fields__]
        case Mapping():
            inner = [(f"{path}.{name}", item) for name, item in value.items()] + [(path, name) for name in value]
        case list() | tuple():
            inner = [(f"{path}[{i}]", item) for i, item in enumerate(value)]
        case _:
            return ""
    return next((found for where, item in inner if (found := path_of_nul(item, where))), "")


class EventCodec:
    """Encodes and decodes the events of one context by their stored names."""

    def __init__(self, events: tuple[type[Event], ...]) -> None:
        self._decoders = {event.__name__: msgspec.json.Decoder(event, dec_hook=decode_personal) for event in events}

    def encode(self, event: Event) -> str:
        """The bytes that are stored, as text. Raises TypeError when personal data is not sealed."""
        return event_encoder.encode(event).decode()

    def decode(self, type_name: str, data: bytes | str) -> Event | None:
        """The event, or None when this context's code does not know its name."""
        decoder = self._decoders.get(type_name)
        return decoder.decode(data) if decoder else None


def personal_fields(message: type[Struct]) -> tuple[str, ...]:
    """The fields that hold personal data."""
    return tuple(f.name for f in msgspec.structs.fields(message) if f.type in (Personal, Personal | None))
