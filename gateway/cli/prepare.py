"""`daybook prepare` and `daybook provision`: what `daybook up` does ahead, for servers that run on their own."""

import asyncio
from pathlib import Path

import click

from common.config import Settings
from common.principals import ensure_principals, write_private
from common.servers.nats import nats_config
from gateway.cli.up import context_names


@click.command()
@click.argument("config", type=click.Path(dir_okay=False, path_type=Path))
@click.option("--store", default="/data", help="Where nats-server keeps its streams.", show_default=True)
@click.option("--port", default=4222, type=click.IntRange(1, 65535), help="Where it listens.", show_default=True)
@click.option("--monitor", default="127.0.0.1:8222", help="Where its health is asked.", show_default=True)
def prepare(config: Path, store: str, port: int, monitor: str) -> None:
    """Make keys and passwords where there are none, and write the NATS configuration to the file CONFIG."""
    from common.provision import nats_users, one_line

    settings = Settings.from_env(running=False)
    with one_line():
        users = nats_users(settings, ensure_principals(settings, context_names()))
    write_private(config, nats_config(users, store, host="0.0.0.0", port=port, monitor=monitor))
    click.echo(f"wrote {config}; keys and passwords are in {settings.credentials}")


@click.command()
def provision() -> None:
    """Make schemas, streams and buckets on the servers that the environment names. Repeatable."""
    from common.provision import one_line
    from common.provision import provision as make

    with one_line():
        asyncio.run(make(Settings.from_env(running=False)))
