"""A real nats-server that tests may kill, freeze and start again on the same port and store."""

import asyncio
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from time import monotonic, sleep

import nats
from nats.aio.client import Client

from common.servers.accounts import NatsUser
from common.servers.files import free_port
from common.servers.nats import nats_answers, nats_binary, nats_config


class Server:
    """Without users anybody may do everything."""

    def __init__(self, folder: Path, users: list[NatsUser] | None = None, store: Path | None = None) -> None:
        self.port = free_port()
        self.url = f"nats://127.0.0.1:{self.port}"
        self._config = folder / "nats.conf"
        self._config.write_bytes(nats_config(users or [], str(store or folder / "store"), port=self.port))
        self._log = folder / "nats.log"
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = await asyncio.create_subprocess_exec(
                str(nats_binary()), "--config", str(self._config), stdout=log, stderr=log
            )
        await until(lambda: nats_answers("127.0.0.1", self.port))

    def freeze(self) -> None:
        """Returns when all its threads stand still: on a busy machine that takes a moment."""
        self._signal(signal.SIGSTOP)
        assert self._process
        tasks = Path(f"/proc/{self._process.pid}/task")
        while any(stat.read_text().rpartition(") ")[2][0] != "T" for stat in tasks.glob("*/stat")):
            sleep(0.001)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    async def kill(self) -> None:
        """kill -9"""
        self._signal(signal.SIGKILL)
        assert self._process
        await self._process.wait()
        self._process = None

    async def connect(self, user: str | None = None, **options: object) -> Client:
        """A connection that comes back by itself, quickly."""
        return await nats.connect(
            self.url,
            user=user,
            password=user,
            inbox_prefix=f"_INBOX.{user or 'test'}".encode(),
            max_reconnect_attempts=-1,
            reconnect_time_wait=0.05,
            **{"error_cb": quiet, **options},
        )

    def _signal(self, number: signal.Signals) -> None:
        assert self._process
        self._process.send_signal(number)


async def quiet(error: Exception) -> None:
    """An error callback for connections that are meant to break."""


async def until(condition: Callable[[], Awaitable[object]], seconds: float = 10.0) -> None:
    """Wait until the condition holds; fail when it does not in time."""
    deadline = monotonic() + seconds
    while not await condition():
        assert monotonic() < deadline, "what was waited for did not come"
        await asyncio.sleep(0.01)
