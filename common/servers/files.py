"""The data folder: one version, one user at a time, and the word about what runs on it."""

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from common.config import Running
from common.principals import write_private

VERSION = "1"
# What may lie in a folder that no system has run on yet: `daybook prepare` makes keys and passwords.
BEFORE = {"lock", "principals.json", "credentials.json"}


class CannotStart(Exception):
    """Why the system cannot start, in one line for the person who asked."""


@contextmanager
def data_folder(data: Path) -> Iterator[None]:
    """Make the folder, or check that it is ours and of this version; hold it against a second `daybook up`."""
    try:
        data.mkdir(parents=True, exist_ok=True)
        lock = os.open(data / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        reason = f"the data folder {data} cannot be used: {error.strerror}"
        raise CannotStart(f"{reason}; choose another with DAYBOOK_DATA") from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CannotStart(f"another `daybook up` runs on {data}; choose another folder with DAYBOOK_DATA") from None
        _check_version(data)
        (data / "logs").mkdir(exist_ok=True)
        # Other users may pass through but not look around: Postgres runs as one when we are root.
        data.chmod(0o711 if os.geteuid() == 0 else 0o700)
        yield
    finally:
        os.close(lock)


def write_running(data: Path, running: Running) -> None:
    """Say in `servers.json` what runs here and where, for `daybook status` and the other commands."""
    write_private(data / "servers.json", msgspec.json.format(msgspec.json.encode(running)))


def forget_running(data: Path) -> None:
    """Take the word back: nothing runs here any more."""
    (data / "servers.json").unlink(missing_ok=True)


def free_port() -> int:
    """A port of the loopback address that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def require_free_port(host: str, port: int, variable: str) -> None:
    """Raise `CannotStart`, naming the port and its variable, when somebody listens there."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = "is in use" if error.errno == 98 else f"cannot be used ({error.strerror})"
            raise CannotStart(f"port {port} on {host} {reason}; choose another with {variable}") from None


def _check_version(data: Path) -> None:
    file = data / "version"
    if file.exists():
        found = file.read_text().strip()
        if found != VERSION:
            raise CannotStart(
                f"the data folder {data} is of version {found}, this program needs {VERSION}; "
                "choose another with DAYBOOK_DATA"
            )
    elif any(entry.name not in BEFORE for entry in data.iterdir()):
        raise CannotStart(
            f"the folder {data} holds something else than Daybook's data; choose another with DAYBOOK_DATA"
        )
    else:
        file.write_text(VERSION + "\n")
