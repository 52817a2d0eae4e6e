"""Every setting of a process, read once from the environment into one frozen struct.

A value that breaks its rule raises `ConfigError`, which names the variable and the rule. Where a variable that names a
server is absent, the embedded servers that `daybook up` runs on the same data folder are meant.
"""

import os
import re
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

PROJECT = Path(__file__).resolve().parent.parent
PER_CONTEXT = "DAYBOOK_WRITE_DSN_"
NATS_SCHEMES = ("nats", "tls", "ws", "wss")
POSTGRES_SCHEMES = ("postgresql", "postgres")
DEADLINE = re.compile(r"[a-z][a-z0-9-]*", re.ASCII)
SECONDS = re.compile(r"[1-9][0-9]{0,8}", re.ASCII)


class ConfigError(Exception):
    """A setting that cannot be used; the text is one line that names the variable and its rule."""


class Running(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What `$DAYBOOK_DATA/servers.json` says about the system that `daybook up` runs on this folder; no secrets."""

    supervisor: int
    http_url: str = ""
    nats_url: str = ""
    write_dsn: str = ""
    read_dsn: str = ""
    pids: dict[str, int] = {}


class Settings(msgspec.Struct, frozen=True, kw_only=True):
    """The settings of one process. An empty `nats_url` or DSN means: embedded, and not running."""

    data: Path
    http_host: str = "127.0.0.1"
    http_port: int = 8000
    nats_url: str = ""
    nats_port: int = 4222
    default_write_dsn: str = ""
    context_dsns: dict[str, str] = {}
    own_keys_dsn: str = ""
    read_dsn: str = ""
    principals: Path
    credentials: Path
    lease_ttl_ms: int = 3000
    batch: int = 256
    backlog_age_s: int = 600
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    durations: dict[str, timedelta] = {}

    @classmethod
    def from_env(cls, env: Mapping[str, str] | None = None, *, running: bool = True) -> "Settings":
        """Read the environment; with `running`, servers it does not name are those of `daybook up` on this folder.

        Raises `ConfigError`."""
        env = os.environ if env is None else env
        data = _path(env, "DAYBOOK_DATA", PROJECT / ".daybook")
        here = (read_running(data) if running else None) or Running(supervisor=0)
        return cls(
            data=data,
            http_host=_text(env, "DAYBOOK_HTTP_HOST", "127.0.0.1"),
            http_port=_integer(env, "DAYBOOK_HTTP_PORT", 8000, 1, 65535),
            nats_url=_url(env, "DAYBOOK_NATS_URL", NATS_SCHEMES) or here.nats_url,
            nats_port=_integer(env, "DAYBOOK_NATS_PORT", 4222, 1, 65535),
            default_write_dsn=_url(env, "DAYBOOK_WRITE_DSN", POSTGRES_SCHEMES) or here.write_dsn,
            context_dsns=_context_dsns(env),
            own_keys_dsn=_url(env, "DAYBOOK_KEYS_DSN", POSTGRES_SCHEMES),
            read_dsn=_url(env, "DAYBOOK_READ_DSN", POSTGRES_SCHEMES) or here.read_dsn,
            principals=_path(env, "DAYBOOK_PRINCIPALS", data / "principals.json"),
            credentials=_path(env, "DAYBOOK_CREDENTIALS", data / "credentials.json"),
            lease_ttl_ms=_integer(env, "DAYBOOK_LEASE_TTL_MS", 3000, 100, 600_000),
            batch=_integer(env, "DAYBOOK_BATCH", 256, 1, 10_000),
            backlog_age_s=_integer(env, "DAYBOOK_BACKLOG_AGE_S", 600, 1, 86_400),
            metrics_host=_text(env, "DAYBOOK_METRICS_HOST", "127.0.0.1"),
            metrics_port=_integer(env, "DAYBOOK_METRICS_PORT", 0, 0, 65535),
            durations=_durations(env, "DAYBOOK_DEADLINES"),
        )

    def write_dsn(self, context: str) -> str:
        """The write database of one context: its own, else the common one. `ConfigError` when neither is known."""
        dsn = self.context_dsns.get(context) or self.default_write_dsn
        return dsn or _absent(f"{PER_CONTEXT}{context.upper()} or DAYBOOK_WRITE_DSN")

    def keys_dsn(self) -> str:
        """The database that holds the customers' keys. `ConfigError` when unknown."""
        return self.own_keys_dsn or self.default_write_dsn or _absent("DAYBOOK_KEYS_DSN or DAYBOOK_WRITE_DSN")

    def password(self, user: str) -> str:
        """The NATS password of a user, from the credentials file. `ConfigError` when file or user is missing."""
        return self._credential("nats", user)

    def api_key(self, principal: str) -> str:
        """The API key of a principal, from the credentials file. `ConfigError` when the file or the key is missing."""
        return self._credential("api_keys", principal)

    def _credential(self, kind: str, name: str) -> str:
        try:
            known = msgspec.json.decode(self.credentials.read_bytes(), type=dict[str, dict[str, str]])
        except (OSError, msgspec.MsgspecError) as error:
            raise ConfigError(
                f"DAYBOOK_CREDENTIALS: {self.credentials} cannot be read ({_reason(error)}); `daybook up` makes it"
            ) from None
        if name not in known.get(kind, {}):
            raise ConfigError(
                f"DAYBOOK_CREDENTIALS: {self.credentials} holds no {kind} entry for {name!r}; a data folder from "
                f"before it is given one by `daybook key {name} --add`"
            )
        return known[kind][name]


def read_running(data: Path) -> Running | None:
    """What runs on this data folder by its own word, or None; a supervisor that was killed may leave an old word."""
    try:
        return msgspec.json.decode((data / "servers.json").read_bytes(), type=Running)
    except (OSError, msgspec.MsgspecError):
        return None


def _text(env: Mapping[str, str], name: str, default: str) -> str:
    value = env.get(name, default)
    if not value.strip():
        raise ConfigError(f"{name} must not be empty")
    return value


def _path(env: Mapping[str, str], name: str, default: Path) -> Path:
    return Path(_text(env, name, str(default))).expanduser().absolute()


def _integer(env: Mapping[str, str], name: str, default: int, least: int, most: int) -> int:
    value = env.get(name)
    if value is None:
        return default
    if not (value.isascii() and value.isdigit() and least <= int(value) <= most):
        raise ConfigError(f"{name} must be an integer from {least} to {most}, not {value!r}")
    return int(value)


def _durations(env: Mapping[str, str], name: str) -> dict[str, timedelta]:
    """Seconds by name: `payment=900,delivery=1209600`."""
    found: dict[str, timedelta] = {}
    for item in filter(None, (part.strip() for part in env.get(name, "").split(","))):
        deadline, _, seconds = item.partition("=")
        if not DEADLINE.fullmatch(deadline) or not SECONDS.fullmatch(seconds) or deadline in found:
            rule = "must be like payment=900,delivery=1209600: each name once, with 1 to 999999999 seconds"
            raise ConfigError(f"{name} {rule}, not {item!r}")
        found[deadline] = timedelta(seconds=int(seconds))
    return found


def _url(env: Mapping[str, str], name: str, schemes: tuple[str, ...]) -> str:
    value = env.get(name)
    if value is None:
        return ""
    try:
        parts = urlsplit(value)
        valid = parts.scheme in schemes and bool(parts.hostname or parts.query) and (parts.port or 1) > 0
    except ValueError:
        valid = False
    if not valid:  # The value is not repeated: it may hold a password.
        raise ConfigError(f"{name} must be a URL that begins with {schemes[0]}:// and names a host")
    return value


def _context_dsns(env: Mapping[str, str]) -> dict[str, str]:
    names = [name for name in env if name.startswith(PER_CONTEXT)]
    return {name.removeprefix(PER_CONTEXT).lower(): _url(env, name, POSTGRES_SCHEMES) for name in names}


def _absent(names: str) -> str:
    raise ConfigError(f"{names} is not set, and no embedded server runs on this data folder: start `daybook up`")


def _reason(error: Exception) -> str:
    return error.strerror or type(error).__name__ if isinstance(error, OSError) else str(error)
