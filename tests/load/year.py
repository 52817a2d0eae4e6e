"""A grocer's real baskets from order to doorstep, and what that took: time, memory, CPU, lag, disk.

    python -m tests.load.year [--baskets N|all] [--via nats] [--keep FOLDER] [--json FILE]

Starts a system of its own in a temporary folder and plays the baskets with `daybook replay --deliver`, which compares
the views with the file at the end. What each process used is looked at once a second; how many orders came how far in
each second is said by the record itself, in the end. `--keep` leaves the data behind, for tests.load.queries.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click
import httpx
import msgspec
from msgspec import Struct
from rich.console import Console

from tests.load.disk import Disk, disk_of
from tests.load.driving.run import beside
from tests.load.processes import Look, Memory, between, cpu_between, looking, memories
from tests.load.stages import Stages, stages_of
from tests.load.year_shown import show
from tests.servers import System, environment, running_system, temporary_data

LAG_EVERY_S = 5.0
HTTP_S = 5.0


class Lag(Struct, frozen=True):
    """From recorded to visible over a minute, in ms, of one read model and context: the median of all looks at its
    p99, and the worst."""

    p50_ms: float
    p99_ms: float
    worst_p99_ms: float


class Year(Struct, frozen=True):
    """One run. CPU is in ms an order, between the first order placed and the last one delivered, by process; `cores`
    how many cores all of them used together, of `machine_cores`."""

    baskets: int
    via: str
    stages: Stages
    memory: dict[str, Memory]
    cpu_ms: dict[str, float]
    cores: float
    machine_cores: int
    lags: dict[str, Lag]
    disk: Disk
    looks: list[Look]
    played: dict[str, Any]


@click.command(help=__doc__)
@click.option("--baskets", default="1000", show_default=True, metavar="N|all", help="The first N.")
@click.option("--via", default="nats", show_default=True, type=click.Choice(("http", "nats")))
@click.option(
    "--keep", type=click.Path(file_okay=False, path_type=Path), help="The data goes to this folder and stays."
)
@click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the figures as JSON.")
def main(baskets: str, via: str, keep: Path | None, file: Path | None) -> None:
    with data_in(keep) as data:
        found = asyncio.run(on_its_own(data, baskets, via))
    show(found, Console())
    if file:
        file.write_bytes(msgspec.json.format(msgspec.json.encode(found)))


@contextmanager
def data_in(keep: Path | None) -> Iterator[Path]:
    """A folder for the data: the one that is to be kept, which must be empty, or a temporary one."""
    if keep is None:
        with temporary_data() as data:
            yield data
        return
    if (keep / "data").exists():
        raise click.ClickException(f"{keep} holds data already")
    keep.mkdir(parents=True, exist_ok=True)
    keep.chmod(0o711)
    yield keep / "data"


async def on_its_own(data: Path, baskets: str, via: str) -> Year:
    async with running_system(data) as system:
        return await played(system, baskets, via)


async def played(system: System, baskets: str, via: str, **variables: str) -> Year:
    """Plays the baskets through a system and measures that. Raises `click.ClickException` when the replay fails.

    `variables` are added to the environment of the replay.
    """
    looks, lags = list[Look](), list[dict[str, Any]]()
    alone = {"daybook up": system.process.pid}
    async with beside(looking(lambda: system.pids, alone, looks)), beside(asking(system, lags)):
        told = await replayed(system, baskets, via, alone, variables)
        lags.append(await lag_now(system))
    stages = await stages_of(system.settings)
    meanwhile = between(looks, stages.begun, stages.ended)
    used = cpu_between(meanwhile)
    seconds = max(meanwhile[-1].at - meanwhile[0].at, 1e-9) if meanwhile else 1.0
    orders = max(stages.orders, 1)
    return Year(
        baskets=stages.orders,
        via=via,
        stages=stages,
        memory=memories(looks),
        cpu_ms={name: round(s * 1000 / orders, 3) for name, s in used.items()},
        cores=round(sum(used.values()) / seconds, 2),
        machine_cores=os.cpu_count() or 1,
        lags=lags_of(lags),
        disk=await disk_of(system.settings, orders),
        looks=looks,
        played=told,
    )


async def replayed(
    system: System, baskets: str, via: str, pids: dict[str, int], variables: dict[str, str]
) -> dict[str, Any]:
    """Runs `daybook replay` as a process of its own, which stands among `pids` meanwhile; what it says in the end."""
    words = ("replay", "--baskets", baskets, "--via", via, "--deliver", "--json")
    env = environment(system.settings.data) | system_variables(system) | variables
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", *words), env=env,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    pids["replay"] = process.pid
    said, complaints = await process.communicate()
    pids.pop("replay")
    if process.returncode:
        raise click.ClickException(f"the replay failed: {complaints.decode()[-2000:]}")
    found: dict[str, Any] = msgspec.json.decode(said)
    return found


def system_variables(system: System) -> dict[str, str]:
    """Where the system that runs is: the replay finds the rest in its data folder."""
    return {"DAYBOOK_HTTP_PORT": str(system.settings.http_port), "DAYBOOK_NATS_PORT": str(system.settings.nats_port)}


async def asking(system: System, lags: list[dict[str, Any]]) -> None:
    """Until cancelled: asks how far behind the read models are."""
    while True:
        await asyncio.sleep(LAG_EVERY_S)
        lags.append(await lag_now(system))


async def lag_now(system: System) -> dict[str, Any]:
    """What /consistency-lag says; nothing when it does not answer."""
    headers = {"X-API-Key": system.settings.api_key("operator")}
    with suppress(httpx.TransportError, ValueError):
        async with httpx.AsyncClient(timeout=HTTP_S, trust_env=False, headers=headers, verify=False) as client:
            found: dict[str, Any] = (await client.get(f"{system.url}/consistency-lag")).json()
            return found
    return {}


def lags_of(looks: list[dict[str, Any]]) -> dict[str, Lag]:
    """By read model and context; of models that showed nothing, nothing."""
    found: dict[str, list[tuple[float, float]]] = {}
    for each in (each for look in looks for each in look.get("read_models", ())):
        if isinstance(each["p99_ms"], float):
            found.setdefault(f"{each['model']} of {each['context']}", []).append((each["p50_ms"], each["p99_ms"]))
    return {name: Lag(middle([a for a, _ in seen]), middle([b for _, b in seen]), max(b for _, b in seen))
            for name, seen in sorted(found.items())}  # fmt: skip


def middle(values: list[float]) -> float:
    return round(sorted(values)[len(values) // 2], 1)


if __name__ == "__main__":
    main()
