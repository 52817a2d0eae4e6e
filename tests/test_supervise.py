"""The supervisor brings back what dies, says so, and leaves nothing behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import psutil
import pytest
import pytest_asyncio

import common.servers.supervise as supervise
from common.config import PROJECT
from common.servers.files import CannotStart
from common.servers.supervise import Child, Supervisor
from tests.servers import until

SLEEPER = "import time; time.sleep(1000)"


class Heard(list[str]):
    """What the supervisor said."""


@pytest.fixture
def heard() -> Heard:
    return Heard()


@pytest_asyncio.fixture
async def supervisor(tmp_path: Path, heard: Heard) -> AsyncIterator[Supervisor]:
    found = Supervisor(tmp_path, heard.append)
    yield found
    await found.stop()


def sleeper(name: str) -> Child:
    return Child(name, [sys.executable, "-c", SLEEPER])


async def test_a_killed_child_is_restarted_and_both_are_said(supervisor: Supervisor, heard: Heard) -> None:
    changes: list[int] = []
    supervisor.changed = lambda: changes.append(supervisor.pids["a"])
    await supervisor.start(sleeper("a"))
    first = supervisor.pids["a"]
    os.kill(first, signal.SIGKILL)
    await until(lambda: supervisor.pids["a"] != first)
    assert heard[0] == "a was ended by SIGKILL; restarted in 0.2 s"
    assert heard[1] == f"a is running again, process {supervisor.pids['a']}"
    assert changes == [first, supervisor.pids["a"]]


async def test_a_child_that_ends_by_itself_is_said_with_its_last_word(supervisor: Supervisor, heard: Heard) -> None:
    await supervisor.start(Child("a", [sys.executable, "-c", "print('hm'); raise SystemExit('no room')"]))
    await until(lambda: len(heard) > 0)
    assert heard[0] == "a ended with exit code 1 (no room); restarted in 0.2 s"


@pytest.mark.parametrize(("long_life", "delays"), [(10.0, [0.1, 0.2, 0.3, 0.3]), (0.0, [0.1, 0.1, 0.1, 0.1])])
async def test_restarts_are_delayed_more_and_more_unless_the_life_was_long(
    supervisor: Supervisor, heard: Heard, monkeypatch: pytest.MonkeyPatch, long_life: float, delays: list[float]
) -> None:
    monkeypatch.setattr(supervise, "FIRST_DELAY", 0.1)
    monkeypatch.setattr(supervise, "LONGEST_DELAY", 0.3)
    monkeypatch.setattr(supervise, "LONG_LIFE", long_life)
    monkeypatch.setattr(supervise, "DEATHS_AT_START", 4)
    with pytest.raises(CannotStart):
        await supervisor.start(Child("a", [sys.executable, "-c", "raise SystemExit(3)"], ready=never))
    assert [line for line in heard if "ended" in line] == [
        f"a ended with exit code 3; restarted in {delay:.1f} s" for delay in delays
    ]


def exists(path: Path) -> Callable[[], Awaitable[bool]]:
    return lambda: asyncio.to_thread(path.exists)


async def never() -> bool:
    return False


async def test_a_child_that_does_not_start_is_named_with_the_last_line_of_its_log(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "DEATHS_AT_START", 1)
    with pytest.raises(CannotStart, match="a does not start: the disk is full") as error:
        await supervisor.start(
            Child("a", [sys.executable, "-c", "print('so it goes'); raise SystemExit('the disk is full')"], ready=never)
        )
    assert "\n" not in str(error.value)
    assert "a" not in supervisor.pids


async def test_a_child_that_never_becomes_ready_is_given_up(
    supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "READY_WITHIN", 0.1)
    with pytest.raises(CannotStart, match="a does not start: it said nothing"):
        await supervisor.start(Child("a", [sys.executable, "-c", SLEEPER], ready=never))


async def test_a_program_that_is_not_there_is_named(supervisor: Supervisor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(supervise, "DEATHS_AT_START", 1)
    with pytest.raises(CannotStart, match=r"a does not start: cannot be started: .*no-such-program"):
        await supervisor.start(Child("a", ["/no-such-program"]))


async def test_all_are_stopped_last_first(tmp_path: Path, heard: Heard) -> None:
    order = tmp_path / "order"
    program = (
        "import signal, sys, time\n"
        "def end(*_):\n"
        f"    open({str(order)!r}, 'a').write(sys.argv[1]); sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); open(sys.argv[2], 'w').close(); time.sleep(1000)"
    )
    supervisor = Supervisor(tmp_path, heard.append)
    for name in "abc":
        sign = tmp_path / f"ready-{name}"
        await supervisor.start(Child(name, [sys.executable, "-c", program, name, str(sign)], ready=exists(sign)))
    await supervisor.stop()
    assert order.read_text() == "cba"
    assert not supervisor.pids
    assert not heard


async def test_those_that_are_beside_each_other_stop_together(tmp_path: Path, heard: Heard) -> None:
    """Each of the two ends once it has seen that the other was told to."""
    program = (
        "import pathlib, signal, sys, time\n"
        "def end(*_):\n"
        "    pathlib.Path(sys.argv[1] + '-told').touch()\n"
        "    while not pathlib.Path(sys.argv[2] + '-told').exists(): time.sleep(0.01)\n"
        "    sys.exit()\n"
        "signal.signal(signal.SIGTERM, end); pathlib.Path(sys.argv[1]).touch(); time.sleep(1000)"
    )
    supervisor, one, other = Supervisor(tmp_path, heard.append), tmp_path / "one", tmp_path / "other"
    await supervisor.start(sleeper("first"))
    for mine, theirs, beside in ((one, other, False), (other, one, True)):
        argv = [sys.executable, "-c", program, str(mine), str(theirs)]
        await supervisor.start(Child(mine.name, argv, ready=exists(mine), beside=beside))
    await supervisor.stop()
    assert not supervisor.pids
    assert not heard  # Nobody had to be killed.


async def test_a_child_that_ignores_sigterm_is_killed(
    tmp_path: Path, heard: Heard, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "STOP_WITHIN", 0.1)
    supervisor = Supervisor(tmp_path, heard.append)
    await supervisor.start(stubborn("a", tmp_path))
    pid = supervisor.pids["a"]
    await supervisor.stop()
    assert not psutil.pid_exists(pid)
    assert "was killed" in heard[0]


def stubborn(name: str, folder: Path) -> Child:
    """Who hears no SIGTERM."""
    sign = folder / f"{name}-is-ready"
    program = (
        f"import signal, time; signal.signal(15, signal.SIG_IGN); open({str(sign)!r}, 'w').close(); time.sleep(99)"
    )
    return Child(name, [sys.executable, "-c", program], ready=exists(sign))


async def test_all_are_stopped_though_nobody_hears_what_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def say(line: str) -> None:
        raise OSError("the terminal is gone")

    monkeypatch.setattr(supervise, "STOP_WITHIN", 0.1)
    supervisor = Supervisor(tmp_path, say)
    for child in (sleeper("first"), stubborn("a", tmp_path)):
        await supervisor.start(child)
    pids = list(supervisor.pids.values())
    with pytest.raises(OSError, match="the terminal is gone"):
        await supervisor.stop()
    assert not any(psutil.pid_exists(pid) for pid in pids)


async def test_nothing_outlives_a_killed_supervisor(tmp_path: Path) -> None:
    program = f"""
import asyncio, sys
from pathlib import Path
from common.servers.supervise import Child, Supervisor
async def main():
    supervisor = Supervisor(Path({str(tmp_path)!r}), print)
    await supervisor.start(Child("a", [sys.executable, "-c", {SLEEPER!r}]))
    print(supervisor.pids["a"], flush=True)
    await asyncio.sleep(1000)
asyncio.run(main())
"""
    parent = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, stdout=asyncio.subprocess.PIPE, env=os.environ | {"PYTHONPATH": str(PROJECT)}
    )
    assert parent.stdout is not None
    pid = int(await parent.stdout.readline())
    assert psutil.pid_exists(pid)
    parent.kill()
    await parent.wait()
    await until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)


async def test_a_large_log_is_kept_once_and_begun_anew(
    supervisor: Supervisor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervise, "LOG_KEPT", 10)
    (tmp_path / "a.log").write_text("more than ten characters")
    await supervisor.start(sleeper("a"))
    assert (tmp_path / "a.log.1").read_text() == "more than ten characters"
    assert (tmp_path / "a.log").read_text() == ""
