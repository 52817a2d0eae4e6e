"""Ways in which a database server is down until a test lets it come back, whatever the supervisor tries."""

import os
import signal
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import psutil

from tests.servers import System, until

Outage = Callable[[System, str], AbstractAsyncContextManager[None]]


@asynccontextmanager
async def frozen(system: System, name: str) -> AsyncIterator[None]:
    """All of a server's processes stand still: it still takes connections, and answers nothing."""
    processes = family(system.pids[name])
    send(processes, signal.SIGSTOP)
    try:
        yield
    finally:
        send(processes, signal.SIGCONT)


@asynccontextmanager
async def gone(system: System, name: str) -> AsyncIterator[None]:
    """A server is killed and cannot start, for where its folder was there is a file: connections are refused."""
    folder = system.settings.data / name
    away = folder.rename(folder.with_name(f"{name}-away"))
    folder.touch()
    processes = family(system.pids[name])
    system.kill(name)
    try:
        await until(lambda: not any(each.is_running() for each in processes), what=f"{name} to be gone")
        yield
    finally:
        folder.unlink()
        away.rename(folder)


def family(pid: int) -> list[psutil.Process]:
    parent = psutil.Process(pid)
    return [parent, *parent.children(recursive=True)]


def send(processes: list[psutil.Process], number: signal.Signals) -> None:
    """To the parent first: it starts no more children then. Those that have gone meanwhile need none."""
    for process in processes:
        if process.is_running():
            os.kill(process.pid, number)
