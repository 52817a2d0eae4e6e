"""Personal data: sealed under its person's key wherever it rests. Destroying the key erases the person."""

import base64
import hmac
import os
import unicodedata
from typing import Annotated, Any

import msgspec
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from common.messages import Id

NONCE_BYTES, TAG_BYTES = 12, 16


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


def fingerprint(secret: bytes, text: str) -> str:
    """HMAC-SHA256, in hexadecimal: the same for texts that differ in capitals, in composition of accents or in white
    space around them; without the secret it tells nothing of the text."""
    plain = unicodedata.normalize("NFC", text.strip().casefold())
    return hmac.digest(secret, plain.encode(), "sha256").hex()


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
    """The same data, sealed and no longer open. What is sealed already stays as it is."""
    if personal.sealed:
        return personal
    return Personal(personal.person, sealed=seal_bytes(key, personal.person, plain_bytes(personal.value)))


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


class Sealed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The form in which personal data travels: whose it is, and the seal in base64."""

    person: Id
    sealed: Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9+/]+={0,2}$(?!\n)")]


def decode_sealed(kind: type, value: Any) -> Any:
    """msgspec's hook for decoding what is asked of us: a seal in its exact form and nothing else is taken.

    Whether it opens is not known here: that needs the person's key, which may have been destroyed lawfully.
    """
    if kind is not Personal:
        raise TypeError(f"no decoder for {kind!r}")
    try:
        form = msgspec.convert(value, Sealed)
        raw = base64.b64decode(form.sealed, validate=True)
    except (msgspec.ValidationError, ValueError):
        raise ValueError("Expected personal data, sealed: `person` and `sealed`") from None
    if len(raw) < NONCE_BYTES + TAG_BYTES:
        raise ValueError("too short to be a seal")
    return Personal(form.person, sealed=form.sealed)
