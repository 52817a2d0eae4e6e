"""A small supervisor: starts child processes in order, brings back those that die, stops them in reverse order."""

import asyncio
import ctypes
import os
import pwd
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from common.servers.files import CannotStart

FIRST_DELAY, LONGEST_DELAY = 0.2, 5.0
LONG_LIFE = 10.0  # A child that lived this long (seconds) has recovered: its next restart is quick again.
READY_WITHIN, STOP_WITHIN = 60.0, 15.0
DEATHS_AT_START = 8
LOG_KEPT = 10_000_000
PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


async def at_once() -> bool:
    """For a child that has no better sign of readiness than being there."""
    return True


@dataclass(frozen=True)
class Child:
    """A process to keep alive. `ready` is asked until it says so; `before` runs ahead of each start.

    One that is `beside` needs nothing of the child started before it: both may stop at the same time.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] | None = None
    user: str | None = None
    ready: Callable[[], Awaitable[bool]] = at_once
    before: Callable[[], Awaitable[None]] | None = None
    stop: signal.Signals = signal.SIGTERM
    orphaned: signal.Signals = signal.SIGKILL  # What the kernel sends it when its supervisor is killed.
    beside: bool = False


@dataclass
class Supervisor:
    """Keeps children alive. `say` hears one line for each death and restart; `changed` that a process id is new."""

    logs: Path
    say: Callable[[str], None]
    changed: Callable[[], None] = lambda: None
    pids: dict[str, int] = field(default_factory=dict)
    _kept: list["_Kept"] = field(default_factory=list)

    async def start(self, child: Child) -> None:
        """Start a child and wait until it is ready. Raises `CannotStart` with the last line of its log."""
        kept = _Kept(child, self)
        self._kept.append(kept)
        await kept.start()

    async def stop(self) -> None:
        """Stop all, last started first, those `beside` each other together: SIGTERM or the child's own signal, SIGKILL
        after a deadline. Who cannot be stopped keeps no other from it; then the first error is raised in the end."""
        ended: list[BaseException | None] = []
        while self._kept:
            together = [self._kept.pop()]
            while self._kept and together[-1].child.beside:
                together.append(self._kept.pop())
            ended += await asyncio.gather(*(each.stop() for each in together), return_exceptions=True)
        for error in filter(None, ended):
            raise error


class _Kept:
    """One child with the task that brings it back."""

    def __init__(self, child: Child, supervisor: Supervisor) -> None:
        self.child, self.supervisor = child, supervisor
        self.log = supervisor.logs / f"{child.name}.log"
        self.process: asyncio.subprocess.Process | None = None
        self.task: asyncio.Task[None] | None = None
        self.deaths = 0
        self.trouble = ""
        self.stopping = False

    async def start(self) -> None:
        _trim(self.log)
        self.task = asyncio.create_task(self._keep(), name=f"keep {self.child.name}")
        deadline = time.monotonic() + READY_WITHIN
        while not await self._is_ready():
            if self.deaths >= DEATHS_AT_START or time.monotonic() > deadline:
                await self.stop()
                reason = self.trouble or _last_line(self.log) or "it said nothing"
                raise CannotStart(f"{self.child.name} does not start: {reason} (log: {self.log})")
            await asyncio.sleep(0.05)

    async def stop(self) -> None:
        self.stopping = True
        if self.process is not None and self.process.returncode is None:
            self.process.send_signal(self.child.stop)
            try:
                await asyncio.wait_for(self.process.wait(), STOP_WITHIN)
            except TimeoutError:
                self.process.kill()
                await self.process.wait()
                self.supervisor.say(f"{self.child.name} did not stop within {STOP_WITHIN:.0f} s and was killed")
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
        self.supervisor.pids.pop(self.child.name, None)

    async def _keep(self) -> None:
        delay = FIRST_DELAY
        while True:
            born = time.monotonic()
            written = self.log.stat().st_size if self.log.exists() else 0
            try:
                end = _manner(await self._live(), _last_line(self.log, written))
            except (OSError, CannotStart) as error:
                self.trouble = end = f"cannot be started: {error}"
            if self.stopping:
                return
            self.deaths += 1
            delay = FIRST_DELAY if time.monotonic() - born >= LONG_LIFE else delay
            self.supervisor.say(f"{self.child.name} {end}; restarted in {delay:.1f} s")
            await asyncio.sleep(delay)
            delay = min(2 * delay, LONGEST_DELAY)

    async def _live(self) -> int:
        """One life of the child, from start to end; its exit code, or minus the signal that ended it."""
        child = self.child
        if child.before is not None:
            await child.before()
        with self.log.open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                *child.argv,
                env=child.env,
                user=child.user,
                group=pwd.getpwnam(child.user).pw_gid if child.user else None,
                extra_groups=[] if child.user else None,
                cwd="/" if child.user else None,  # Another user may not be able to enter the folder we stand in.
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # Ctrl-C reaches the supervisor alone, which stops its children in order.
                preexec_fn=_die_with(os.getpid(), child.orphaned),
            )
        self.supervisor.pids[child.name] = self.process.pid
        if self.deaths:
            self.supervisor.say(f"{child.name} is running again, process {self.process.pid}")
        self.supervisor.changed()
        return await self.process.wait()

    async def _is_ready(self) -> bool:
        if self.process is None or self.process.returncode is not None:
            return False
        try:
            return await self.child.ready()
        except OSError:
            return False


def _die_with(parent: int, orphaned: signal.Signals) -> Callable[[], None] | None:
    """Runs in the child before its program: ask the kernel for a signal when the supervisor dies."""
    if _libc is None:
        return None

    def ask() -> None:
        _libc.prctl(PR_SET_PDEATHSIG, int(orphaned), 0, 0, 0)
        if os.getppid() != parent:  # It died before we asked.
            os._exit(1)

    return ask


def _manner(code: int, last_word: str) -> str:
    if code < 0:
        return f"was ended by {signal.Signals(-code).name}"
    return f"ended with exit code {code}" + (f" ({last_word})" if code and last_word else "")


def _trim(log: Path) -> None:
    """Keep one older log when this one has grown large."""
    if log.exists() and log.stat().st_size > LOG_KEPT:
        log.replace(log.with_name(log.name + ".1"))


def _last_line(log: Path, since: int = 0) -> str:
    """The last line of a log after so many bytes of it, or nothing."""
    if not log.exists():
        return ""
    with log.open("rb") as file:
        file.seek(max(since, log.stat().st_size - 4096))
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""
