"""`daybook simulate`: a warehouse that sends off what is scheduled, and couriers who deliver it or try in vain."""

import asyncio
import signal
import time
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from typing import Any

import click
import msgspec
from rich.console import Console
from rich.live import Live
from rich.text import Text

from gateway.cli.rounds import Round, Tally, courier, warehouse
from gateway.cli.talk import as_json, client_of, run_to_the_end

SHOWN_S = 0.25


@click.command()
@click.option("--dispatch-after", default=1.0, show_default=True, type=click.FloatRange(0), metavar="SECONDS",
              help="How long a parcel stands in the warehouse.")  # fmt: skip
@click.option("--deliver-after", default=2.0, show_default=True, type=click.FloatRange(0), metavar="SECONDS",
              help="How long each way to the customer takes.")  # fmt: skip
@click.option("--fail", default=0.05, show_default=True, type=click.FloatRange(0, 1), metavar="P",
              help="The probability that nobody is at home.")  # fmt: skip
@click.option("--limit", default=0, type=click.IntRange(0), metavar="N",
              help="Stop once so many parcels have arrived or come back; a few more may have.")  # fmt: skip
@click.option("--seed", default=0, show_default=True, help="Another seed, other people who are not at home.")
@as_json
def simulate(
    dispatch_after: float, deliver_after: float, fail: float, limit: int, seed: int, plain: bool
) -> None:  # fmt: skip
    """Be the warehouse and the couriers, until Ctrl-C: dispatch what is scheduled, deliver it or report why not.

    Everything goes through the public commands, in the names of the principals warehouse and courier. Several of them,
    or one that is started again, do nothing twice.

    \b
    daybook simulate --dispatch-after 0 --deliver-after 0.5 --fail 0.2
    """
    tally = Tally()
    run_to_the_end(_until_stopped(_simulate(tally, dispatch_after, deliver_after, fail, limit, seed, not plain)))
    if plain:
        click.echo(msgspec.json.encode(tally))


async def _simulate(
    tally: Tally, dispatch_after: float, deliver_after: float, fail: float, limit: int, seed: int, shown: bool
) -> None:
    """Until it is cancelled, or so many parcels have ended. Its last line stays."""
    async with AsyncExitStack() as stack:
        rounds = [
            Round(await stack.enter_async_context(client_of(each.principal)), each, tally)
            for each in (warehouse(dispatch_after), courier(deliver_after, fail, seed))
        ]
        live = stack.enter_context(Live(console=Console(quiet=not shown), auto_refresh=False))
        working = [asyncio.create_task(each.run()) for each in rounds]
        begun = time.monotonic()
        try:
            while not any(each.done() for each in working) and not 0 < limit <= tally.ended:
                live.update(_line(tally, rounds, time.monotonic() - begun), refresh=True)
                await asyncio.wait(working, timeout=SHOWN_S, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for each in working:
                each.cancel()
            outcomes = await asyncio.gather(*working, return_exceptions=True)
            await asyncio.gather(*(each.end() for each in rounds))
            live.update(_line(tally, rounds, time.monotonic() - begun), refresh=True)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome


async def _until_stopped(work: Coroutine[Any, Any, None]) -> None:
    """Runs it to its end, or ends it in order on Ctrl-C and SIGTERM."""
    running = asyncio.ensure_future(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    with suppress(asyncio.CancelledError):
        await running


def _line(tally: Tally, rounds: list[Round], seconds: float) -> Text:
    """What has been done, and how much is on its way."""
    parts = [f"{number:,} {name}" for name, number in tally.counted().items()]
    open_ = sum(each.open for each in rounds)
    rate = f"{tally.ended / seconds:,.0f} a second" if tally.ended and seconds > 1 else ""
    text = " · ".join([*parts, f"{open_:,} to do", *([rate] if rate else [])])
    trouble = next((each.trouble for each in rounds if each.trouble), "")
    return Text.assemble(text, (f"  {trouble}" if trouble else "", "yellow"))
