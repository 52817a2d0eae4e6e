"""`daybook rebuild`: a read model's table is built anew from the record, beside the one that serves meanwhile."""

import asyncio
from time import monotonic
from typing import Any

import asyncpg
import click
import nats.errors
from nats.aio.client import Client
from rich.console import Console
from rich.progress import Progress

from common import discovery
from common.anew import Place, tables
from common.bus.api import STREAM_NOT_FOUND, ApiError, ask_jetstream
from common.bus.bucket import Bucket
from common.bus.connect import connect
from common.bus.provision import ProvisionError, provision_stream
from common.config import Settings
from common.readmodel import building
from common.store.checkpoints import Checkpoint, all_checkpoints
from common.store.swap import begin_anew

AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
EVERY_S = 0.2
STANDS_S = 15.0
WITHIN_S = 10.0

Places = dict[str, dict[str, Checkpoint]]


@click.command()
@click.argument("model")
@click.option("--wait/--no-wait", default=True, help="Stay until the new table serves.", show_default=True)
def rebuild(model: str, wait: bool) -> None:
    """Build the table of the read model MODEL anew, by the version of this code.

    The projectors that run do it; queries are answered from the old table until the new one is as far. It helps when a
    model is red because a record was restored, because newer code has been here before, or because rows are wrong.
    A model that lives in a bucket is emptied at once, and filled from the record.
    """
    settings = Settings.from_env()
    known, buckets = tables(settings), {each.name: each for each in discovery.buckets(discovery.read_models().values())}
    if model in buckets:
        _empty(settings, Bucket(buckets[model]))
        return
    if model not in known:
        names = ", ".join([*known, *buckets])
        raise click.ClickException(f"there is no read model named {model}; there are {names}")
    if not known[model].dsn:
        raise click.ClickException("no database is known that it is in: is the system up? (DAYBOOK_READ_DSN)")
    try:
        asyncio.run(_rebuild(known[model], wait))
    except AWAY as error:
        raise click.ClickException(f"the database of {model}: {error or type(error).__name__}") from None
    except KeyboardInterrupt:
        click.echo("It goes on without you: daybook lag shows how far.")


def _empty(settings: Settings, bucket: Bucket) -> None:
    """Makes the bucket anew: whoever keeps it fills it."""
    if not settings.nats_url:
        raise click.ClickException("DAYBOOK_NATS_URL is not set, and nothing runs on this data folder: `daybook up`")
    try:
        asyncio.run(_made_anew(settings, bucket))
    except (TimeoutError, nats.errors.Error) as error:
        raise click.ClickException(f"the bus does not answer: {error or type(error).__name__}") from None
    except (ApiError, ProvisionError) as error:
        raise click.ClickException(f"the bucket {bucket.model.name} cannot be made anew: {error}") from None
    click.echo(f"The bucket {bucket.model.name} is filled anew: daybook lag shows how far it is.")


async def _made_anew(settings: Settings, bucket: Bucket) -> None:
    async with asyncio.timeout(WITHIN_S):
        nc = await connect(settings, "admin")
    try:
        await _deleted(nc, bucket.stream)
        await provision_stream(nc, bucket.config)
    finally:
        await nc.close()


async def _deleted(nc: Client, stream: str) -> None:
    try:
        await ask_jetstream(nc, f"STREAM.DELETE.{stream}", {})
    except ApiError as error:
        if error.code != STREAM_NOT_FOUND:  # It may be lost already.
            raise


async def _rebuild(place: Place, wait: bool) -> None:
    model, begun = place.model, monotonic()
    await begin_anew(place.dsn, model, place.schema)
    click.echo(f"The table of {model.name} is built anew, version {model.version}.")
    if not wait:
        return
    connection = await asyncpg.connect(place.dsn, timeout=5)
    try:
        await _watch(connection, place)
    finally:
        await connection.close(timeout=5)
    click.echo(f"It serves since now, after {monotonic() - begun:.1f} s.")


async def _watch(connection: Any, place: Place) -> None:
    """Shows how far it is until the table that is built has become the live one."""
    live, beside = place.model.name, building(place.model).name
    before = await all_checkpoints(connection, [live, beside], place.schema)
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task, reached, still = bar.add_task(live, total=None), 0, monotonic()
        while beside in (now := await all_checkpoints(connection, [live, beside], place.schema)):
            done = _events(now, beside)
            if done > reached:
                reached, still = done, monotonic()
            elif monotonic() - still > STANDS_S:
                version = place.model.version
                raise click.ClickException(
                    f"nobody builds it: do processes run that keep version {version} of it? See daybook lag."
                )
            bar.update(task, completed=done, total=max(_events(now, live), done))
            await asyncio.sleep(EVERY_S)
    if _generations(now, live) == _generations(before, live) and beside in before:
        raise click.ClickException("others have dropped what was begun: does code of a newer version start there?")


def _events(places: Places, name: str) -> int:
    return sum(each.position for each in places.get(name, {}).values())


def _generations(places: Places, name: str) -> set[int]:
    return {each.generation for each in places.get(name, {}).values()}
