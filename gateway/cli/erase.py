"""`daybook erase`: a person's data are made unreadable, everywhere and for good."""

import asyncio
import sys
from collections.abc import Coroutine
from typing import Any

import asyncpg
import click
import nats.errors

from common import erasure
from common.bus.api import ApiError
from common.bus.connect import connect
from common.config import Settings
from common.erasure import MayNotErase, Person
from gateway.cli.up import context_names

ADMIN = "admin"
CONNECT_WITHIN_S, SWEEP_WITHIN_S = 10.0, 30.0
AWAY = (OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError)
UNSWEPT = (
    "Commands of the last seconds may still lie in nats-server's files in plain words ({reason}).\n"
    "Once they are decided, run this again."
)


@click.command()
@click.argument("customer")
@click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")
def erase(customer: str, yes: bool) -> None:
    """Destroy the key under which the personal data of CUSTOMER are sealed.

    Name, e-mail, phone and addresses can then be read nowhere, nor will any be taken again. What happened stays
    recorded, and all else in it. An account that is still open keeps its e-mail from being used: close it first.
    Exit code 1 means that the key may be destroyed, but commands of the last seconds can still be read.

    \b
    daybook send customer CloseAccount 4711 --as operator
    daybook erase 4711
    """
    settings = Settings.from_env()
    found = asyncio.run(_reached(erasure.find(settings.keys_dsn(), customer)))
    if found is None:
        raise click.ClickException(f"nothing personal was ever recorded of a customer {customer}")
    if not yes and found.destroyed_at is None:
        click.confirm(f"Destroy the key of {customer}? Nobody can undo this.", abort=True)
    asyncio.run(_erase(settings, customer))


async def _erase(settings: Settings, customer: str) -> None:
    gone = await _reached(erasure.destroy_key(settings.keys_dsn(), customer))
    assert gone and gone.destroyed_at
    click.echo(f"The key of {customer} is destroyed, since {gone.destroyed_at:%Y-%m-%d %H:%M:%S} UTC.")
    if reason := await _swept(settings):
        click.echo(UNSWEPT.format(reason=reason), err=True)
        sys.exit(1)
    click.echo("No command of before lies anywhere in plain words.")


async def _reached(asking: Coroutine[Any, Any, Person | None]) -> Person | None:
    """What the database answers; what keeps it from that is one line."""
    try:
        return await asking
    except MayNotErase as error:
        raise click.ClickException(str(error)) from None
    except AWAY as error:
        raise click.ClickException(f"the database of DAYBOOK_KEYS_DSN: {error or type(error).__name__}") from None


async def _swept(settings: Settings) -> str:
    """Tells the workers and sweeps the command stream; what stood in the way, or nothing."""
    if not settings.nats_url:
        return "no nats-server is known"
    try:
        async with asyncio.timeout(CONNECT_WITHIN_S):
            nc = await connect(settings, ADMIN)
        try:
            await erasure.tell(nc)
            return "" if await erasure.swept(nc, context_names()[0], SWEEP_WITHIN_S) else "some are not decided yet"
        finally:
            await nc.close()
    except (OSError, TimeoutError, nats.errors.Error, ApiError) as error:
        return str(error) or "nats-server does not answer"
