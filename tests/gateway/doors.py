"""The gateway's application on a real server and a real bus, without anybody who decides: tests play that part."""

import asyncio
import base64
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

import httpx
import msgspec
import pytest
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg

from common import discovery
from common.bus.api import ask_jetstream
from common.codec import CommandCodec
from common.config import Settings
from common.principals import ensure_principals
from common.recorded import Receipt
from common.servers.files import free_port
from contexts.order.commands import CancelOrder, PlaceOrder
from gateway.__main__ import server as server_of
from gateway.app import build
from tests.bus.server import Server

ORDER: dict[str, Any] = PlaceOrder.declared.example
CONTEXTS = ("order", "product")


class Doors(Struct, frozen=True):
    """An open gateway: `http` asks as the storefront, `nc` may do everything on its bus."""

    settings: Settings
    http: httpx.AsyncClient
    nc: Client
    reactions: list[Callable[[Msg], Awaitable[None]]]

    async def place(self, path: str = "/orders", body: Any = ORDER, **headers: str) -> httpx.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return await self.http.post(path, json=body, headers=named)

    async def hear(self, message: Msg) -> None:
        """Every command as it is published."""
        for react in self.reactions:
            await react(message)

    async def stored(self) -> int:
        """How many commands the stream has ever stored."""
        info = await ask_jetstream(self.nc, "STREAM.INFO.COMMANDS", {})
        last: int = info["state"]["last_seq"]
        return last

    async def message(self, sequence: int) -> tuple[str, bytes]:
        """Subject and body of a stored command."""
        found = (await ask_jetstream(self.nc, "STREAM.MSG.GET.COMMANDS", {"seq": sequence}))["message"]
        return found["subject"], base64.b64decode(found.get("data", ""))


@asynccontextmanager
async def open_doors(server: Server, data: Path, **changes: Any) -> AsyncIterator[Doors]:
    """A gateway of its own on this bus."""
    settings = Settings(
        data=data, principals=data / "principals.json", credentials=data / "credentials.json",
        nats_url=server.url, http_port=free_port(), read_dsn=f"postgresql://127.0.0.1:{free_port()}/none",
    )  # fmt: skip
    settings = msgspec.structs.replace(settings, **changes)
    ensure_principals(settings, CONTEXTS)
    serving = server_of(build(settings, discovery.commands()), settings)
    serving.capture_signals = nullcontext  # type: ignore[assignment]  # The test run keeps its own.
    task = asyncio.create_task(serving.serve())
    nc = await server.connect()
    key = settings.api_key("storefront")
    url = f"http://127.0.0.1:{settings.http_port}"
    limits = httpx.Limits(max_connections=None)
    async with httpx.AsyncClient(base_url=url, headers={"X-API-Key": key}, limits=limits, timeout=40) as http:
        await ready(http, task)
        doors = Doors(settings, http, nc, [])
        await nc.subscribe("command.>", cb=doors.hear)
        await nc.flush()
        yield doors
    serving.should_exit = True
    await task
    await nc.close()


@asynccontextmanager
async def fresh_doors(factory: pytest.TempPathFactory, **changes: Any) -> AsyncIterator[tuple[Server, Doors]]:
    """A bus and a gateway that a test may break."""
    server = Server(factory.mktemp("bus"))
    await server.start()
    try:
        nc = await server.connect()
        await make_command_stream(nc)
        await nc.close()
        async with open_doors(server, factory.mktemp("data"), **changes) as opened:
            yield server, opened
    finally:
        server.thaw()
        await server.kill()


async def ready(http: httpx.AsyncClient, serving: asyncio.Task[None]) -> None:
    while not serving.done():
        try:
            if (await http.get("/readyz/commands")).status_code == 200:
                return
        except httpx.TransportError:
            await asyncio.sleep(0.01)
    serving.result()


async def make_command_stream(nc: Client, max_bytes: int = 1 << 26) -> None:
    """The command stream as the gateway knows it."""
    config = {
        "name": "COMMANDS",
        "subjects": [f"command.*.{context}.>" for context in CONTEXTS],
        "storage": "file",
        "discard": "new",
        "max_bytes": max_bytes,
        "allow_atomic": True,
        "duplicate_window": 120_000_000_000,
        "subject_transform": {
            "src": "command.*.*.*.*",
            "dest": "work.{{wildcard(2)}}.{{partition(16,3)}}.{{wildcard(1)}}.{{wildcard(3)}}.{{wildcard(4)}}",
        },
    }
    await ask_jetstream(nc, "STREAM.CREATE.COMMANDS", config)


@asynccontextmanager
async def deciding(nc: Client, receipts: dict[str, Receipt]) -> AsyncIterator[list[list[str]]]:
    """Somebody who answers for the receipts of `order`. Yields the ids of every question so far."""
    asked: list[list[str]] = []

    async def answer(message: Msg) -> None:
        ids = msgspec.json.decode(message.data)["ids"]
        asked.append(ids)
        await message.respond(msgspec.json.encode({each: receipts[each] for each in ids if each in receipts}))

    subscription = await nc.subscribe("query.*.OrderReceipts", cb=answer)
    await nc.flush()
    try:
        yield asked
    finally:
        await subscription.unsubscribe()


@contextmanager
def on_command(doors: Doors, react: Callable[[Msg], Awaitable[None]]) -> Iterator[None]:
    """Somebody who reacts to every command as it is published."""
    doors.reactions.append(react)
    try:
        yield
    finally:
        doors.reactions.remove(react)


def hash_of(body: dict[str, Any], order_id: str) -> str:
    codec = CommandCodec(PlaceOrder)
    return codec.hash(codec.decode(order_id, msgspec.json.encode(body)))


def cancel_hash(order_id: str, reason: str) -> str:
    return CommandCodec(CancelOrder).hash(CancelOrder(order_id, reason))


def receipt(command_id: str, **fields: Any) -> Receipt:
    """A receipt of the storefront's in `order`; accepted, unless said otherwise."""
    known: dict[str, Any] = {"context": "order", "principal": "storefront", "state": "accepted", "type": "PlaceOrder"}
    return Receipt(command_id=command_id, **(known | fields))
