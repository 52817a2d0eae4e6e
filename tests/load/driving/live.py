"""How a load goes while it goes: one line that is written again at a terminal, a line every few seconds elsewhere."""

import asyncio
from collections.abc import Iterable
from time import perf_counter
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.text import Text

from tests.load.driving.result import quantile_ms
from tests.load.driving.tally import Tally
from tests.load.driving.watch import Watch

EVERY_S = 0.5
PIPED_S = 5.0


async def shown(tally: Tally, watch: Watch, plan: Any) -> None:
    """Until cancelled, on standard error."""
    console = Console(stderr=True)
    if not console.is_terminal:
        while True:
            await asyncio.sleep(PIPED_S)
            console.print(line(tally, watch, plan.seconds), highlight=False, soft_wrap=True)
    with Live(console=console, transient=True, auto_refresh=False) as live:
        while True:
            live.update(Text(line(tally, watch, plan.seconds)), refresh=True)
            await asyncio.sleep(EVERY_S)


def line(tally: Tally, watch: Watch, seconds: float) -> str:
    now = perf_counter() - tally.begun
    last = max(0, int(now) - 1)
    parts = (
        f"{now:4.0f} of {seconds:.0f} s",
        f"sent {tally.sent:,}",
        f"accepted {tally.accepted_in[last]:,}/s",
        f"visible {visible(watch)}/s",
        f"p99 {p99(tally.latencies_in.get(last, ()))}",
        f"in flight {tally.in_flight}",
        f"errors {tally.failed:,}",
    )
    return "   ".join(parts)


def visible(watch: Watch) -> str:
    if len(watch.looks) < 2:
        return "?"
    before, after = watch.looks[-2:]
    return f"{(after.projected - before.projected) / (after.at - before.at):,.0f}"


def p99(latencies: Iterable[float]) -> str:
    found = sorted(latencies)
    return f"{quantile_ms(found, 0.99):.0f} ms" if found else "?"
