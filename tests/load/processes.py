"""What the processes of a system use while a load runs: memory and CPU time, looked at once a second."""

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from statistics import linear_regression

import psutil
from msgspec import Struct

from tests.load.measure import tree

EVERY_S = 1.0
MIB = 1024 * 1024


class Look(Struct, frozen=True):
    """At one moment, of each process by name: memory in bytes, and CPU seconds since it began."""

    at: float
    memory: dict[str, int]
    cpu: dict[str, float]


class Memory(Struct, frozen=True):
    """Of one process, in MiB: the most there was, and how much it grew a minute in the second half of the time."""

    peak: float
    grows_a_minute: float


def look(pids: Mapping[str, int], alone: Mapping[str, int]) -> Look:
    """Processes with their children, and those that are counted alone. Those that are gone are left out."""
    memory, cpu = dict[str, int](), dict[str, float]()
    for name, pid in {**pids, **alone}.items():
        try:
            all_of_it = [psutil.Process(pid)] if name in alone else tree(pid)
            memory[name] = sum(map(own_memory, all_of_it)) + max(map(shared_memory, all_of_it))
            cpu[name] = sum(map(cpu_seconds_of, all_of_it))
        except (psutil.Error, OSError):
            continue
    return Look(time.time(), memory, cpu)


def own_memory(process: psutil.Process) -> int:
    """What it does not share: of Postgres' processes each maps the same buffers, which are counted once."""
    found = process.memory_info()
    return int(found.rss - found.shared)


def shared_memory(process: psutil.Process) -> int:
    return int(process.memory_info().shared)


def cpu_seconds_of(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system + times.children_user + times.children_system)


async def looking(pids: Callable[[], Mapping[str, int]], alone: Mapping[str, int], looks: list[Look]) -> None:
    """Until cancelled."""
    while True:
        looks.append(look(pids(), alone))
        await asyncio.sleep(EVERY_S)


def between(looks: Sequence[Look], begun: float, ended: float) -> list[Look]:
    """Those from then until then."""
    return [each for each in looks if begun <= each.at <= ended]


def memories(looks: Sequence[Look]) -> dict[str, Memory]:
    """By name, those with the highest peak first."""
    found = {name: memory_of([(each.at, each.memory[name]) for each in looks if name in each.memory])
             for name in dict.fromkeys(name for each in looks for name in each.memory)}  # fmt: skip
    return dict(sorted(found.items(), key=lambda each: -each[1].peak))


def memory_of(seen: Sequence[tuple[float, int]]) -> Memory:
    later = seen[len(seen) // 2 :]
    grows = linear_regression(*zip(*later, strict=True)).slope * 60 if len({at for at, _ in later}) > 1 else 0.0
    return Memory(round(max(bytes_ for _, bytes_ in seen) / MIB, 1), round(grows / MIB, 2))


def cpu_between(looks: Sequence[Look]) -> dict[str, float]:
    """CPU seconds from the first look to the last, by name, the most first. Who began later begins with nothing."""
    if len(looks) < 2:
        return {}
    first, last = looks[0].cpu, looks[-1].cpu
    return dict(sorted(((n, s - first.get(n, 0.0)) for n, s in last.items()), key=lambda each: -each[1]))


def folder_bytes(folder: Path) -> int:
    """What the files of a folder take on the disk; some may vanish meanwhile."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.lstat().st_blocks * 512
        except OSError:
            continue
    return total
