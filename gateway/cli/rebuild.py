"""`daybook rebuild`: a read model's table is built anew from the record, beside the one that serves meanwhile."""

import asyncio
from time import monotonic

import asyncpg
import click
from rich.console import Console
from rich.progress import Progress

from common.config import Settings
from common.discovery import read_models
from common.readmodel import ReadModel, building
from common.store.checkpoints import Checkpoint, all_checkpoints
from common.store.swap import begin_anew

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
EVERY_S = 0.2
STANDS_S = 15.0

Places = dict[str, dict[str, Checkpoint]]


@click.command()
@click.argument("model")
@click.option("--wait/--no-wait", default=True, help="Stay until the new table serves.", show_default=True)
def rebuild(model: str, wait: bool) -> None:
    """Build the table of the read model MODEL anew, by the version of this code.

    The projectors that run do it; queries are answered from the old table until the new one is as far. It helps when a
    model is red because a record was restored, because newer code has been here before, or because rows are wrong.
    """
    known = {name: module.MODEL for name, module in read_models().items() if isinstance(module.MODEL, ReadModel)}
    if model not in known:
        raise click.ClickException(f"there is no read model with a table named {model}; there are {', '.join(known)}")
    dsn = Settings.from_env().read_dsn
    if not dsn:
        raise click.ClickException("no read database is known: is the system up? (DAYBOOK_READ_DSN)")
    try:
        asyncio.run(_rebuild(dsn, known[model], wait))
    except AWAY as error:
        raise click.ClickException(f"the read database: {error or type(error).__name__}") from None
    except KeyboardInterrupt:
        click.echo("It goes on without you: daybook lag shows how far.")


async def _rebuild(dsn: str, model: ReadModel, wait: bool) -> None:
    await begin_anew(dsn, model)
    click.echo(f"The table of {model.name} is built anew, version {model.version}.")
    if not wait:
        return
    connection = await asyncpg.connect(dsn, timeout=5)
    try:
        begun = monotonic()
        await _watch(connection, model)
        click.echo(f"It serves since now, after {monotonic() - begun:.1f} s.")
    finally:
        await connection.close(timeout=5)


async def _watch(connection: "asyncpg.Connection[asyncpg.Record]", model: ReadModel) -> None:
    """Shows how far it is until the table that is built has become the live one."""
    beside, still = building(model).name, monotonic()
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(model.name, total=None)
        reached = 0
        while beside in (places := await all_checkpoints(connection, [model.name, beside], "read")):
            done, total = _events(places, beside), _events(places, model.name)
            if done > reached:
                reached, still = done, monotonic()
            elif monotonic() - still > STANDS_S:
                raise click.ClickException(
                    f"nobody builds it: do projectors run whose version of it is {model.version}? See daybook lag."
                )
            bar.update(task, completed=done, total=max(total, done))
            await asyncio.sleep(EVERY_S)


def _events(places: Places, name: str) -> int:
    return sum(each.position for each in places.get(name, {}).values())
