"""The options of the load-test scripts, and what they do with them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, TypeVar

import click
import msgspec
import uvloop
from msgspec.structs import replace
from rich.console import Console

from common.config import ConfigError, Settings
from tests.load.driving import nothing
from tests.load.driving.mix import DEFAULT, KINDS, Material, material, mix_of
from tests.load.driving.result import Result
from tests.load.driving.run import Opened, Plan, driven
from tests.load.driving.show import show
from tests.load.driving.target import Target, chosen, own

C = TypeVar("C", bound=Callable[..., Any])
IN_FLIGHT = 256


def shares(ctx: click.Context, param: click.Parameter, value: str) -> dict[str, int]:
    try:
        return mix_of(value)
    except ValueError as error:
        raise click.BadParameter(str(error), ctx, param) from None


SHARES = "Shares of " + "; ".join(f"{kind}: {text}" for kind, text in KINDS.items()) + "."
OPTIONS = (
    click.option("--rate", type=click.FloatRange(0.1, 100_000), help="Open loop: requests a second, evenly."),
    click.option("--connections", type=click.IntRange(1, 4096), help="Closed loop: so many at a time; else 128."),
    click.option(
        "--in-flight", type=click.IntRange(1, 4096), help=f"Open loop: at most so many; {IN_FLIGHT} if not told."
    ),
    click.option("--seconds", default=30.0, show_default=True, type=click.FloatRange(0.5, 86_400), help="At most."),
    click.option("--count", type=click.IntRange(1), help="At most so many requests."),
    click.option("--mix", default=DEFAULT, show_default=True, callback=shares, help=SHARES),
    click.option("--url", default="", metavar="URL", help="The gateway, instead of this data folder's."),
    click.option("--nats-url", default="", metavar="URL", help="The nats-server, instead of this data folder's."),
    click.option("--remote", is_flag=True, help="Allow a --url or --nats-url of another machine."),
    click.option("--own", "alone", is_flag=True, help="Start a system of its own, which only takes orders."),
    click.option("--json", "file", type=click.Path(dir_okay=False, path_type=Path), help="Write the result as JSON."),
    click.option("--max-p99-ms", type=float, help="Exit code 1 when a kind's p99 is above."),
    click.option("--max-lag-p99-ms", type=float, help="Exit code 1 when recorded to visible is above, or unknown."),
    click.option("--max-errors", type=click.IntRange(0), help="Exit code 1 when more failed or were not sent in time."),
)


def options(command: C) -> C:
    for option in reversed(OPTIONS):
        command = option(command)
    return command


def run(door: str, opened: Opened, file: Path | None, **given: Any) -> None:
    """The whole script. Exit code 1 when a limit that was given is not kept."""
    try:
        result = uvloop.run(measured(door, opened, **given))
    except (ConfigError, OSError) as error:
        raise click.ClickException(str(error)) from None
    if file:  # First: what is shown may go to somebody who reads no further.
        file.write_bytes(msgspec.json.format(msgspec.json.encode(result)))
    show(result, Console())
    if result.missed:
        raise SystemExit(1)


async def measured(
    door: str, opened: Opened, rate: float | None, connections: int | None, in_flight: int | None, seconds: float,
    count: int | None, mix: dict[str, int], url: str, nats_url: str, remote: bool, alone: bool,
    max_p99_ms: float | None, max_lag_p99_ms: float | None, max_errors: int | None, reach: bool = False,
) -> Result:  # fmt: skip
    if rate is not None and connections is not None:
        raise click.UsageError("--connections is for a closed loop, --rate for an open one; bound that by --in-flight")
    if rate is None and in_flight is not None:
        raise click.UsageError("--in-flight bounds an open loop: give --rate too")
    stuff = material()
    lanes = (connections or 128) if rate is None else (in_flight or IN_FLIGHT)
    async with where(url, nats_url, remote, alone, stuff) as target:
        if not (target.nats_url if door == "NATS" else target.host):
            raise click.UsageError("--nats-url is missing" if door == "NATS" else "--url is missing")
        plan = Plan(mix, seconds, count, rate, lanes)
        alone_per_s = await nothing.reach(opened, stuff, plan) if reach else None
        result = await driven(door, opened, target, stuff, plan)
    result = replace(result, client=replace(result.client, reach_per_s=alone_per_s))
    return replace(result, missed=missed(result, max_p99_ms, max_lag_p99_ms, max_errors))


@asynccontextmanager
async def where(url: str, nats_url: str, remote: bool, alone: bool, stuff: Material) -> AsyncIterator[Target]:
    if not alone:
        yield chosen(url, nats_url, remote, Settings.from_env())
        return
    if url or nats_url:
        raise click.UsageError("--own starts a system of its own: leave out --url and --nats-url")
    async with own(stuff) as target:
        yield target


def missed(result: Result, p99_ms: float | None, lag_ms: float | None, errors: int | None) -> list[str]:
    """A line for each limit that is not kept."""
    lines = []
    for kind, each in result.kinds.items():
        if p99_ms is not None and each.p99_ms > p99_ms:
            lines.append(f"--max-p99-ms {p99_ms:g}: {kind} has {each.p99_ms:g}")
    if lag_ms is not None and (result.lag_p99_ms is None or result.lag_p99_ms > lag_ms):
        lines.append(f"--max-lag-p99-ms {lag_ms:g}: {result.lag_p99_ms or 'unknown'}")
    if errors is not None and result.failed + result.not_sent > errors:
        lines.append(f"--max-errors {errors}: {result.failed} failed, {result.not_sent} were not sent in time")
    return lines
