"""Makes the servers ready: schemas, read tables, streams. `python -m common.provision` does it for external servers."""

import asyncio
import logging
import sys
from contextlib import suppress

import asyncpg
import nats.errors

from common import discovery
from common.bus import permissions
from common.bus.connect import BusErrors, connect
from common.bus.provision import ProvisionError, provision_streams
from common.config import ConfigError, Settings
from common.principals import Credentials, hash_password, load_principals, system_users
from common.servers.nats import NatsUser
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
    hashes = {user: hash_password(credentials.nats[user]) for user in system_users(commands)}
    principals = load_principals(settings.principals, commands).entries
    return permissions.nats_users(principals, commands, queries, hashes)


async def provision(settings: Settings) -> None:
    """Everything that the parts need, for all contexts and read models there are. Repeatable, also by several at once.

    Raises `ProvisionError`, `MigrationError`, `TableDiffers` and `ConfigError`, each with one clear line, and
    connection errors of a database that is away.
    """
    contexts = discovery.contexts()
    if not settings.read_dsn:
        raise ConfigError("DAYBOOK_READ_DSN is not set, and no embedded server runs on this data folder")
    await migrate(settings, contexts)
    for name, context in contexts.items():
        if context.reference:
            await create_tables(settings.write_dsn(name), [context.reference.model], schema=name)
    await create_tables(settings.read_dsn, [module.MODEL for module in discovery.read_models().values()])
    await provision_bus(settings, list(contexts))


async def provision_bus(settings: Settings, contexts: list[str]) -> None:
    """The streams alone. Raises `ProvisionError`."""
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
        await provision_streams(nc, contexts)
    finally:
        with suppress(nats.errors.Error):
            await nc.close()


def main() -> None:
    logging.basicConfig(level=logging.ERROR)  # What the connection mutters while it tries is in the error's one line.
    try:
        asyncio.run(provision(Settings.from_env()))
    except (ConfigError, ProvisionError, MigrationError, TableDiffers, discovery.DiscoveryError) as error:
        sys.exit(f"provision: {error}")
    except (OSError, asyncpg.PostgresError) as error:
        sys.exit(f"provision: a database does not answer: {error or type(error).__name__}")


if __name__ == "__main__":
    main()
