"""Real servers for tests: nats-server and two Postgres in a temporary folder, or the whole system as `daybook up`."""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import httpx
import msgspec

from common.config import PROJECT, Running, Settings, read_running
from common.principals import Credentials, ensure_principals, hash_password, write_private
from common.servers.accounts import NatsUser
from common.servers.embedded import start_servers
from common.servers.files import data_folder, free_port
from common.servers.supervise import Supervisor
from gateway.cli.up import context_names

TEST_USER = "test"


async def until(condition: Callable[[], Awaitable[bool] | bool], within: float = 30.0, what: str = "") -> None:
    """Wait until a condition holds, at most so many seconds; never a fixed time. Errors of connections count as no."""
    deadline = asyncio.get_running_loop().time() + within
    while not await _holds(condition):
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError(f"not within {within:.0f} s: {what or condition}")
        await asyncio.sleep(0.02)


async def _holds(condition: Callable[[], Awaitable[bool] | bool]) -> bool:
    try:
        answer = condition()
        return answer if isinstance(answer, bool) else await answer
    except (OSError, httpx.TransportError):
        return False


@contextmanager
def temporary_data() -> Iterator[Path]:
    """A data folder of its own. Postgres, which may run as another user, must be able to pass through the folder."""
    parent = Path(tempfile.mkdtemp(prefix="daybook-"))
    parent.chmod(0o711)
    try:
        yield parent / "data"
    finally:
        shutil.rmtree(parent)


def environment(data: Path) -> dict[str, str]:
    """Settings for a system of its own: its folder, free ports; nothing from the environment of the test run."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    ports = {"DAYBOOK_HTTP_PORT": str(free_port()), "DAYBOOK_NATS_PORT": str(free_port())}
    return clean | ports | {"DAYBOOK_DATA": str(data), "PYTHONPATH": str(PROJECT)}


class Servers(msgspec.Struct, frozen=True):
    """The running servers, to reach (`settings`) and to break (`supervisor.pids`, by name: nats, postgres-write)."""

    settings: Settings
    supervisor: Supervisor


@asynccontextmanager
async def running_servers(data: Path, contexts: list[str] | None = None) -> AsyncIterator[Servers]:
    """The embedded servers, without schemas and streams. NATS user `test` may do everything."""
    contexts = context_names() if contexts is None else contexts
    settings = Settings.from_env(environment(data), running=False)
    with data_folder(data):
        supervisor = Supervisor(data / "logs", lambda line: None)
        try:
            users = nats_users(settings, with_test_user(settings, ensure_principals(settings, contexts)))
            yield Servers(await start_servers(supervisor, settings, users, contexts), supervisor)
        finally:
            await supervisor.stop()


def with_test_user(settings: Settings, made: Credentials) -> Credentials:
    """The credentials with a password for the user `test`, also in the credentials file."""
    credentials = Credentials(made.nats | {TEST_USER: made.nats.get(TEST_USER, "secret-of-tests")}, made.api_keys)
    write_private(settings.credentials, msgspec.json.encode(credentials))
    return credentials


def nats_users(settings: Settings, credentials: Credentials) -> list[NatsUser]:
    """The NATS users as the system has them, and `test`, who may do everything."""
    from common.provision import nats_users as of_the_system

    system = [user for user in of_the_system(settings, credentials) if user.name != TEST_USER]
    return [*system, NatsUser(TEST_USER, hash_password(credentials.nats[TEST_USER]), [">"], [">"])]


class System:
    """A whole system under `daybook up`, whose parts a test may kill by name."""

    def __init__(self, settings: Settings, process: asyncio.subprocess.Process, output: Path) -> None:
        self.settings, self.process, self.output = settings, process, output
        self.url = f"http://{settings.http_host}:{settings.http_port}"

    @property
    def pids(self) -> dict[str, int]:
        """Process ids now, by name: nats, postgres-write, postgres-read, context-<name>, projectors, gateway."""
        return (read_running(self.settings.data) or Running(supervisor=0)).pids

    def kill(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a part a signal; its process id."""
        pid = self.pids[name]
        os.kill(pid, number)
        return pid

    async def kill_and_wait(self, name: str) -> None:
        """Kill -9 a part and wait until the supervisor has it running again."""
        old = self.kill(name)
        await until(lambda: self.pids.get(name, old) != old, what=f"{name} to be restarted")

    async def ready(self) -> bool:
        """Whether the gateway answers that it is ready."""
        async with httpx.AsyncClient(timeout=2, trust_env=False, verify=False) as client:  # Certificates take 0.1 s.
            return (await client.get(f"{self.url}/readyz")).status_code == 200

    async def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Stop it as Ctrl-C does; its exit code."""
        if self.process.returncode is None:
            self.process.send_signal(number)
        return await asyncio.wait_for(self.process.wait(), 60)


@asynccontextmanager
async def running_system(
    data: Path, *, apart: bool = False, options: Sequence[str] = (), **variables: str
) -> AsyncIterator[System]:
    """`daybook up` as a process of its own on this folder, ready to serve; `variables` are added to its environment.

    A Ctrl-C at the terminal does not reach a system that runs `apart`. `options` are those of `daybook up`, such as
    `--without-reactions`.
    """
    env, output = environment(data) | variables, data.with_name("up.log")
    with output.open("ab") as log:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "gateway.cli", "up", *options),
            env=env,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=apart,
        )
    system = System(Settings.from_env(env, running=False), process, output)
    try:
        await until(lambda: _ready(system), within=90, what="the system to be ready")
        system.settings = Settings.from_env(env)
        yield system
    finally:
        await system.stop()


async def _ready(system: System) -> bool:
    if system.process.returncode is not None:
        raise AssertionError(f"daybook up ended: {system.output.read_text()}")
    return "gateway" in system.pids and await system.ready()
