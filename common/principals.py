"""Who may ask: principals (applications, not shoppers), their API keys and NATS passwords.

The registry holds only hashes. Keys and passwords in clear lie in the credentials file, readable by its owner alone.
A key is 32 random bytes, so one sha256 suffices; nothing can be guessed that a slow hash would protect.
"""

import hashlib
import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

import bcrypt
import msgspec

from common.config import ConfigError, Settings

NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
SYSTEM_USERS = ("gateway", "answers", "projectors", "admin")
PERSONAL_DATA = "personal-data"
"""The role that may read personal data; `personal-data-<context>` reads that context's alone. For all others it stays
sealed, in answers too."""
WATCH = "watch"
"""The role that may watch buckets."""
FIRST_PRINCIPALS = {
    "storefront": ["storefront", WATCH],
    "operator": ["operator", "catalogue", WATCH, PERSONAL_DATA],
    "warehouse": ["warehouse"],
    # Who carries a parcel reads where it goes, and nothing else of anybody.
    "courier": ["courier", f"{PERSONAL_DATA}-delivery"],
    # A whole year from outside: products, customers, goods, sales and their deliveries, each when it was. It neither
    # pays back nor suspends anybody, and reads no personal data.
    "replay": ["catalogue", "storefront", "trusted-channel", "warehouse", "courier"],
}
# The lowest sensible cost: the passwords are random and long, and the server checks one at every connection.
BCRYPT_ROUNDS = 5


class Principal(msgspec.Struct, frozen=True):
    """An application that may send commands and ask queries, with the roles that decide which."""

    name: str
    roles: frozenset[str]


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One principal as the principals file holds it."""

    name: str
    roles: list[str]
    api_key_sha256: str
    nats_bcrypt: str


class Credentials(msgspec.Struct, frozen=True):
    """The credentials file: NATS passwords by user, API keys by principal."""

    nats: dict[str, str]
    api_keys: dict[str, str]


class Principals(msgspec.Struct, frozen=True):
    """The registry, by name and by the hash of the key. A context is the principal of its own reactions."""

    entries: tuple[Entry, ...]
    names: dict[str, Principal]
    keys: dict[str, Principal]

    def authenticate(self, api_key: str) -> Principal | None:
        """Whose key this is. Looked up by its hash, so the time taken tells nothing of any key."""
        return self.keys.get(_sha256(api_key))

    def named(self, name: str) -> Principal | None:
        """The principal of this name: a registered one, or a context with role `reaction`."""
        return self.names.get(name)


def may_read_personal_data(roles: frozenset[str], context: str) -> bool:
    """Whether these roles open what this context has sealed."""
    return not roles.isdisjoint((PERSONAL_DATA, f"{PERSONAL_DATA}-{context}"))


def system_users(contexts: Iterable[str]) -> list[str]:
    """The NATS users of our own processes."""
    return [*SYSTEM_USERS, *(f"context-{name}" for name in contexts)]


def load_principals(path: Path, contexts: Iterable[str]) -> Principals:
    """Read the registry. Raises `ConfigError` when it cannot be read or a name breaks its rule."""
    entries, contexts = _read(path), list(contexts)
    reserved = {*contexts, *system_users(contexts)}
    names: dict[str, Principal] = {}
    for entry in entries:
        if not NAME.fullmatch(entry.name):
            raise ConfigError(f"DAYBOOK_PRINCIPALS: {path}: {entry.name!r} must be 1 to 64 of A-Z a-z 0-9 _ -")
        if entry.name in reserved:
            raise ConfigError(f"DAYBOOK_PRINCIPALS: {path}: {entry.name!r} is the name of a context or a system user")
        if entry.name in names:
            raise ConfigError(f"DAYBOOK_PRINCIPALS: {path}: {entry.name!r} is there twice")
        names[entry.name] = Principal(entry.name, frozenset(entry.roles))
    keys = {entry.api_key_sha256: names[entry.name] for entry in entries}
    reactions = {name: Principal(name, frozenset({"reaction"})) for name in contexts}
    return Principals(tuple(entries), names | reactions, keys)


def ensure_principals(settings: Settings, contexts: Iterable[str]) -> Credentials:
    """Make the first principals where there are none, and a NATS password for each of our users that lacks one.

    Repeatable; what exists stays as it is. Raises `ConfigError` for a file that cannot be read."""
    contexts = list(contexts)
    found = _read_credentials(settings.credentials)
    nats, api_keys = dict(found.nats), dict(found.api_keys)
    for user in system_users(contexts):
        nats.setdefault(user, secrets.token_urlsafe(32))
    if not settings.principals.exists():
        for name in FIRST_PRINCIPALS:
            nats.setdefault(name, secrets.token_urlsafe(32))
            api_keys.setdefault(name, secrets.token_urlsafe(32))
    credentials = Credentials(nats, api_keys)
    if credentials != found:  # Before the registry: a registry without its keys would lock everyone out.
        write_private(settings.credentials, msgspec.json.format(msgspec.json.encode(credentials)))
    if not settings.principals.exists():
        entries = [
            Entry(name, roles, _sha256(api_keys[name]), hash_password(nats[name]))
            for name, roles in FIRST_PRINCIPALS.items()
        ]
        write_private(settings.principals, msgspec.json.format(msgspec.json.encode(entries)))
    load_principals(settings.principals, contexts)
    return credentials


def add_principal(settings: Settings, name: str) -> tuple[str, ...]:
    """Add one of the first principals, or the roles it lacks, to a registry from before them; the roles added.

    Only on demand: a principal or a role that somebody took away must not come back by itself. The running parts learn
    of it when they start. Raises `ConfigError` when there is no registry, or Daybook comes with no such principal.
    """
    if name not in FIRST_PRINCIPALS:
        raise ConfigError(f"Daybook comes with no principal {name!r}, only with {', '.join(FIRST_PRINCIPALS)}")
    entries, found = _read(settings.principals), _read_credentials(settings.credentials)
    old = next((entry for entry in entries if entry.name == name), None)
    added = tuple(role for role in FIRST_PRINCIPALS[name] if old is None or role not in old.roles)
    if old is None:
        nats = found.nats.get(name) or secrets.token_urlsafe(32)
        api_key = found.api_keys.get(name) or secrets.token_urlsafe(32)
        credentials = Credentials(found.nats | {name: nats}, found.api_keys | {name: api_key})
        write_private(settings.credentials, msgspec.json.format(msgspec.json.encode(credentials)))
        entries.append(Entry(name, [*added], _sha256(api_key), hash_password(nats)))
    else:
        entries[entries.index(old)] = msgspec.structs.replace(old, roles=[*old.roles, *added])
    if added:
        write_private(settings.principals, msgspec.json.format(msgspec.json.encode(entries)))
    return added


def hash_password(password: str) -> str:
    """The bcrypt of a password, as nats-server takes it."""
    return bcrypt.hashpw(password.encode(), bcrypt.gensalt(BCRYPT_ROUNDS)).decode()


def write_private(path: Path, data: bytes) -> None:
    """Replace a file at once by one that only its owner can read."""
    path.parent.mkdir(parents=True, exist_ok=True)
    new = path.with_name(path.name + ".new")
    new.unlink(missing_ok=True)
    with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)


def _sha256(api_key: str) -> str:
    return hashlib.sha256(api_key.encode("utf-8", "surrogatepass")).hexdigest()


def _read(path: Path) -> list[Entry]:
    try:
        return msgspec.json.decode(path.read_bytes(), type=list[Entry])
    except OSError as error:
        raise ConfigError(f"DAYBOOK_PRINCIPALS: {path} cannot be read: {error.strerror}") from None
    except msgspec.MsgspecError as error:
        raise ConfigError(f"DAYBOOK_PRINCIPALS: {path} is not a list of principals: {error}") from None


def _read_credentials(path: Path) -> Credentials:
    try:
        return msgspec.json.decode(path.read_bytes(), type=Credentials)
    except FileNotFoundError:
        return Credentials({}, {})
    except (OSError, msgspec.MsgspecError) as error:
        raise ConfigError(f"DAYBOOK_CREDENTIALS: {path} cannot be read: {error}") from None
