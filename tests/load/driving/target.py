"""Which system a load goes to: the one on this machine unless told, and no other machine without a further word."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from urllib.parse import urlsplit

import click
import msgspec
from msgspec import Struct

from common.config import ConfigError, Settings, read_running
from tests.load.closed_loop import post_request
from tests.load.driving.mix import Material
from tests.load.wire import open_line
from tests.servers import running_system, temporary_data

PRINCIPAL, CATALOGUE = "replay", "operator"
PRODUCTS = 500


class Target(Struct, frozen=True):
    """Where to send. Without an HTTP address nothing is known of what becomes visible."""

    host: str
    port: int
    key: str
    nats_url: str
    password: str
    name: str


def chosen(url: str, nats_url: str, remote: bool, settings: Settings) -> Target:
    """The target of the options, else the system of this data folder. Raises `click.ClickException`, which names the
    option or variable, for what cannot be used."""
    running = read_running(settings.data)
    if not url and not nats_url and running is None:
        raise click.UsageError(f"nothing runs on {settings.data}: start `daybook up`, or give --url or --own")
    http = url or ("" if nats_url or running is None else running.http_url)
    bus = nats_url or ("" if url else settings.nats_url)
    host, port = address(http, "--url", ("http",), 80, remote) if http else ("", 0)
    if bus:
        address(bus, "--nats-url" if nats_url else "DAYBOOK_NATS_URL", ("nats", "tls"), 4222, remote)
    try:
        return Target(host, port, settings.api_key(PRINCIPAL), bus, settings.password(PRINCIPAL), http or bus)
    except ConfigError as error:
        raise click.ClickException(str(error)) from None


def address(url: str, option: str, schemes: tuple[str, ...], port: int, remote: bool) -> tuple[str, int]:
    """Host and port. Raises `click.UsageError` for another machine that was not allowed, and for what is no address."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or port
    except ValueError:
        host = ""
    if not host or parts.scheme not in schemes:
        raise click.UsageError(f"{option} must be like {schemes[0]}://127.0.0.1:{port}")
    if not remote and not is_this_machine(host):
        raise click.UsageError(f"{option} names another machine, {host}; --remote allows to put load on it")
    return host, port


def is_this_machine(host: str) -> bool:
    try:
        return host == "localhost" or ip_address(host).is_loopback
    except ValueError:
        return False


@asynccontextmanager
async def own(material: Material) -> AsyncIterator[Target]:
    """A system of its own in a temporary folder, with a catalogue to search; Ctrl-C does not reach it.

    Nobody is registered and no shelf is filled there, so orders are taken and go no further.
    """
    with temporary_data() as data:
        async with running_system(data, apart=True, options=["--without-reactions"]) as system:
            settings = system.settings
            target = chosen("", "", False, settings)
            await catalogue(target, settings.api_key(CATALOGUE), material)
            yield target


async def catalogue(target: Target, key: str, material: Material) -> None:
    """Adds products of the departments that the baskets have. Raises `click.ClickException` when one is refused."""
    line = await open_line(target.host, target.port)
    for number in range(PRODUCTS):
        word = material.words[number % len(material.words)]
        product = {"sku": f"s{number}", "name": f"{word} {number}", "department": word, "price": 100, "currency": "USD"}
        reply = await line.ask(post_request(f"/products/p{number}", key, msgspec.json.encode(product)))
        if reply.status != 202:
            raise click.ClickException(f"a product was answered {reply.status}: {reply.body.decode()[:300]}")
    line.close()
