"""The two doors at which one's own writes are read: HTTP on connections of ours, NATS with the client."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import click
import msgspec
from msgspec import Struct

from common.client import Client, connect
from common.questions import NoAnswer, QueryRefused
from projectors.orders import GetOrder
from tests.load.closed_loop import post_request
from tests.load.wire import Line, get_request, open_line
from tests.servers import System

PRINCIPAL = "replay"
WAIT_S = 10
CANCEL = msgspec.json.encode({"reason": "changed my mind"})

Seen = tuple[int, int]
"""What a read found: a status, and the version that it showed, or 0."""


class Door(Struct, frozen=True):
    """How one lane writes and reads. `write` gives what to hand back in order to see it."""

    write: Callable[[str, bytes | None], Awaitable[str]]
    read: Callable[[str, str], Awaitable[Seen]]


@asynccontextmanager
async def opened(system: System, door: str, concurrency: int) -> AsyncIterator[list[Door]]:
    """A door for each lane: a connection each over HTTP, over NATS one for all, as applications do."""
    settings = system.settings
    if door == "http":
        lines = [await open_line(settings.http_host, settings.http_port) for _ in range(concurrency)]
        try:
            yield [by_http(line, settings.api_key(PRINCIPAL)) for line in lines]
        finally:
            for line in lines:
                line.close()
    else:
        async with connect(settings.nats_url, PRINCIPAL, settings.password(PRINCIPAL)) as client:
            yield [by_nats(client)] * concurrency


def by_http(line: Line, key: str) -> Door:
    async def write(order: str, body: bytes | None) -> str:
        path = f"/orders/{order}" if body else f"/orders/{order}/cancel"
        reply = await line.ask(post_request(path, key, body or CANCEL))
        if reply.status != 202:
            raise click.ClickException(f"a command was answered {reply.status}: {reply.body.decode()[:300]}")
        return reply.header("Daybook-After")

    async def read(order: str, token: str) -> Seen:
        wish = f"Daybook-After: {token}\r\nPrefer: wait={WAIT_S}\r\n" if token else ""
        reply = await line.ask(get_request(f"/orders/{order}", key, wish))
        return reply.status, int(reply.header("ETag").strip('"') or 0)

    return Door(write, read)


def by_nats(client: Client) -> Door:
    async def write(order: str, body: bytes | None) -> str:
        name = "PlaceOrder" if body else "CancelOrder"
        sent = await client.send_named("order", name, order, body or CANCEL)
        return f"{sent.context}:{sent.command_id}"

    async def read(order: str, token: str) -> Seen:
        try:
            return 200, (await client.ask(GetOrder(order), WAIT_S, after=token))["version"]
        except QueryRefused as refused:
            return refused.status, 0
        except NoAnswer:
            return 504, 0

    return Door(write, read)
