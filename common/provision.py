"""Makes the servers ready: schemas, read tables, streams. `python -m common.provision` does it for external servers."""

import asyncio
import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import asyncpg
import nats.errors

from common import discovery
from common.bus import permissions
from common.bus.bucket import Bucket
from common.bus.connect import BusErrors, connect
from common.bus.provision import COMMANDS, ProvisionError, provision_streams, require_accounts, require_apart
from common.config import ConfigError, Settings
from common.context import followed_by
from common.lag import ConsistencyLag
from common.principals import Credentials, hash_password, load_principals, system_users
from common.servers.accounts import NatsUser
from common.servers.files import CannotStart
from common.shell.context_queries import context_query_types
from common.store.migrate import MigrationError, migrate
from common.store.read_schema import TableDiffers, create_tables

ADMIN = "admin"
NATS_WITHIN_S = 10.0


def nats_users(settings: Settings, credentials: Credentials) -> list[NatsUser]:
    """The NATS users of the system with their permissions, from what is discovered and from the principals file."""
    commands = discovery.commands()
    queries = [query.__name__ for module in discovery.read_models().values() for query in module.QUERIES]
    queries += [query.__name__ for context in commands for query in context_query_types(context)]
    queries.append(ConsistencyLag.__name__)
    hashes = {user: hash_password(credentials.nats[user]) for user in system_users(commands)}
    principals = load_principals(settings.principals, commands).entries
    followed = {name: followed_by(context) for name, context in discovery.contexts().items()}
    buckets = [model.name for model in discovery.buckets(discovery.read_models().values())]
    return permissions.nats_users(principals, commands, queries, hashes, followed, buckets)


async def provision(settings: Settings) -> None:
    """Everything that the parts need, for all contexts and read models there are. Repeatable, also by several at once.

    Raises `ProvisionError`, `MigrationError`, `TableDiffers` and `ConfigError`, each with one clear line.
    """
    contexts = discovery.contexts()
    if not settings.read_dsn:
        raise ConfigError("DAYBOOK_READ_DSN is not set, and no embedded server runs on this data folder")
    with using("the write database of DAYBOOK_WRITE_DSN"):
        await migrate(settings, contexts)
        for name, context in contexts.items():
            if context.reference:
                await create_tables(settings.write_dsn(name), [context.reference.model], schema=name)
    with using("the read database of DAYBOOK_READ_DSN"):
        await create_tables(settings.read_dsn, discovery.tables(discovery.read_models().values()))
    await provision_bus(settings, list(contexts))


async def provision_bus(settings: Settings, contexts: list[str]) -> None:
    """The streams and buckets alone. Raises `ProvisionError`."""
    modules = discovery.read_models().values()
    errors = BusErrors()
    try:
        async with asyncio.timeout(NATS_WITHIN_S):
            nc = await connect(settings, ADMIN, errors)
    except TimeoutError:
        reason = f": {errors.last}" if errors.last else ""
        raise ProvisionError(
            f"no way in to the NATS server of DAYBOOK_NATS_URL in {NATS_WITHIN_S:g} s{reason}"
        ) from None
    try:
        await require_accounts(nc)
        buckets = [Bucket(each) for each in discovery.buckets(modules)]
        await provision_streams(nc, contexts, [each.config for each in buckets])
        await require_apart(nc, [each.stream for each in buckets])
    finally:
        with suppress(nats.errors.Error):
            await nc.close()


def in_batches() -> list[str]:
    """The streams that take batches: all of one is stored, or none of it."""
    return [COMMANDS, *(Bucket(each).stream for each in discovery.buckets(discovery.read_models().values()))]


@contextmanager
def using(database: str) -> Iterator[None]:
    """Raises `ProvisionError` with the database's name when it is away or does not let us do what we must."""
    try:
        yield
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        raise ProvisionError(f"{database} cannot be used: {error or type(error).__name__}") from None


@contextmanager
def one_line() -> Iterator[None]:
    """Raises `CannotStart` in place of whatever else a person can put right."""
    try:
        yield
    except (ProvisionError, MigrationError, TableDiffers, discovery.DiscoveryError) as error:
        raise CannotStart(str(error)) from None


def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # What the connection mutters while it tries is in the error's one line.
    try:
        with one_line():
            asyncio.run(provision(Settings.from_env()))
    except (ConfigError, CannotStart) as error:
        sys.exit(f"provision: {error}")


if __name__ == "__main__":
    main()
