"""Personal data: sealed under its person's key wherever it rests. Destroying the key erases the person."""

import base64
import os
from typing import Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

NONCE_BYTES = 12


class Personal:
    """Data about one person. `value` is JSON-like data while it is open; `sealed` is what may be stored.

    Only a sealed one can be encoded, so that plain personal data cannot reach a store by oversight.
    """

    __slots__ = ("person", "sealed", "value")

    def __init__(self, person: str, value: Any = None, sealed: str = "") -> None:
        self.person, self.value, self.sealed = person, value, sealed

    def __eq__(self, other: object) -> bool:
        """Equal when it is the same person's same data; of sealed data, when the seals are the same."""
        if not isinstance(other, Personal):
            return NotImplemented
        if self.value is None or other.value is None:
            return (self.person, self.sealed) == (other.person, other.sealed)
        return (self.person, plain_bytes(self.value)) == (other.person, plain_bytes(other.value))

    def __hash__(self) -> int:
        return hash(self.person)

    def __repr__(self) -> str:
        return f"Personal({self.person!r}, {'sealed' if self.sealed else 'open'})"


def plain_bytes(value: Any) -> bytes:
    return msgspec.json.encode(value, order="deterministic")


def new_key() -> bytes:
    """A key for one person (AES-256)."""
    return AESGCM.generate_key(bit_length=256)


def seal_bytes(key: bytes, person: str, plain: bytes) -> str:
    """Seals with AES-GCM (NIST SP 800-38D), bound to the person: a seal moved to another person does not open."""
    nonce = os.urandom(NONCE_BYTES)
    return base64.b64encode(nonce + AESGCM(key).encrypt(nonce, plain, person.encode())).decode()


def open_bytes(key: bytes, person: str, sealed: str) -> bytes:
    """Raises ValueError when key, person and seal do not belong together."""
    raw = base64.b64decode(sealed)
    try:
        return AESGCM(key).decrypt(raw[:NONCE_BYTES], raw[NONCE_BYTES:], person.encode())
    except InvalidTag:
        raise ValueError("the seal does not open with this person's key") from None


def seal(personal: Personal, key: bytes) -> Personal:
    """The same data, sealed. What is sealed already stays as it is."""
    if personal.sealed:
        return personal
    return Personal(personal.person, personal.value, seal_bytes(key, personal.person, plain_bytes(personal.value)))


def unseal(personal: Personal, key: bytes) -> Personal:
    """The same data, open for reading."""
    value = msgspec.json.decode(open_bytes(key, personal.person, personal.sealed))
    return Personal(personal.person, value, personal.sealed)


def encode_personal(value: Any) -> Any:
    """msgspec's hook for encoding. Raises TypeError for personal data that is not sealed."""
    if isinstance(value, Personal) and value.sealed:
        return {"person": value.person, "sealed": value.sealed}
    raise TypeError(f"{value!r} must be sealed before it is encoded")


def decode_personal(kind: type, value: Any) -> Any:
    """msgspec's hook for decoding."""
    if kind is Personal:
        return Personal(value["person"], sealed=value["sealed"])
    raise TypeError(f"no decoder for {kind!r}")
