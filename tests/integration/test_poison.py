"""Whatever a direct NATS user writes, it is answered or dropped, and everybody else goes on."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
import pytest
import pytest_asyncio
from nats.aio.client import Client

from common.bus.connect import connect
from common.recorded import COMMAND_ID_HEADER, EXPECTED_VERSION_HEADER, VERSION, VERSION_HEADER
from gateway.cli.keepalive import KeepAlive
from tests.integration.invariants import all_violations
from tests.integration.ordering import BODY, PRINCIPAL, Shop, ask
from tests.servers import System, until

USER = "storefront"
SUBJECT = b"command.storefront.order.%s.PlaceOrder"
PARKED = "SELECT (SELECT count(*) FROM {0}.parked) + (SELECT count(*) FROM {0}.receipts WHERE state = 'parked')"
DEEP = b"[" * 20_000
# Bodies and keys that have an id to answer under. BODY itself is refused too: it states amounts.
REJECTED = {
    "star": (b"*", BODY),
    "tail": (b">", BODY),
    "bytes": (b"\xff\xfe", BODY),
    "form-feed": (b"a\x0cb", BODY),
    "vertical-tab": (b"a\x0b", BODY),
    "umlaut": ("ä".encode(), BODY),
    "long-key": (b"k" * 300, BODY),
    "no-json": (b"k1", b"{"),
    "deep": (b"k1", DEEP),
    "deep-field": (b"k1", b'{"lines":' + DEEP),
    "empty": (b"k1", b""),
    "no-utf8": (b"k1", BODY.replace(b"pm_ok", b"\xff")),
    "nul": (b"k1", BODY.replace(b"Main", b"\\u0000")),
    "unknown-field": (b"k1", BODY[:-1] + b',"order_id":"k2"}'),
    "null": (b"k1", b"null"),
    "too-large": (b"k1", BODY + b" " * 66_000),
    "rule": (b"k1", BODY),
}
GOOD = {VERSION_HEADER: VERSION}
DROPPED = [
    b"",
    b"x",
    b"NATS/1.0",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0 503 \xff\r\n\r\n",
    b"NATS/1.0\r\n\xff: \xfe\r\n\r\n",
    b"NATS/1.0\r\nDaybook-Command-Id: unversioned\r\n\r\n",
    b"NATS/1.0\r\nDaybook-Version: 2\r\nDaybook-Command-Id: later\r\n\r\n",
    b"NATS/1.0\r\nDaybook-Version: 1\r\n\r\n",
    b"NATS/1.0\r\nDaybook-Version: 1\r\nDaybook-Command-Id: a b\r\n\r\n",
    b"NATS/1.0\r\nDaybook-Version: 1\r\nDaybook-Command-Id: " + b"x" * 65 + b"\r\n\r\n",
    b"NATS/1.0\r\nDaybook-Version: 1\r\nDaybook-Command-Id: *\r\n\r\n",
]
FORGED = [
    "command.operator.order.k1.CancelOrder",
    "command.operator.product.p1.AddProduct",
    "command.order.product.>.DiscontinueProduct",
    "event.order.OrderPlaced.k1",
    "event.product.PriceChanged.p1",
    "receipt.operator.order.c1",
    "receipt.replay.order.*",
    "hint.order",
    "beat.worker.order",
    "beat.projector.orders",
    "query.operator.GetOrder",
    "_INBOX.gateway.x",
    "$JS.API.STREAM.PURGE.COMMANDS",
    "$JS.API.STREAM.MSG.DELETE.COMMANDS",
    "$JS.API.STREAM.DELETE.EVENTS_order",
    "$JS.API.STREAM.PURGE.EVENTS_order",
    "$KV.order-status.k1",
    "$SYS.REQ.SERVER.PING",
]


class Wire:
    """A bare connection of a user, on which anything can be written."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    def write(self, subject: bytes, headers: bytes, body: bytes, reply: bytes = b"") -> None:
        if headers:
            sizes = b"%d %d" % (len(headers), len(headers) + len(body))
            self._writer.write(b"HPUB %s %s %s\r\n%s%s\r\n" % (subject, reply, sizes, headers, body))
        else:
            self._writer.write(b"PUB %s %s %d\r\n%s\r\n" % (subject, reply, len(body), body))

    async def written(self) -> list[bytes]:
        """What the server said until it had taken all."""
        self._writer.write(b"PING\r\n")
        said: list[bytes] = []
        while (line := (await self._reader.readline()).strip()) != b"PONG":
            assert line, f"the server has closed the connection: {said}"
            said.append(line)
        return said


@asynccontextmanager
async def wire(system: System) -> AsyncIterator[Wire]:
    reader, writer = await asyncio.open_connection("127.0.0.1", system.settings.nats_port)
    await reader.readline()
    login = {"verbose": False, "pedantic": False, "headers": True, "user": USER, "pass": system.settings.password(USER)}
    writer.write(b"CONNECT %s\r\n" % msgspec.json.encode(login))
    try:
        yield Wire(reader, writer)
    finally:
        writer.close()
        await writer.wait_closed()


def headers(**pairs: str) -> bytes:
    lines = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in pairs.items())
    return f"NATS/1.0\r\n{lines}\r\n".encode()


def signed(command_id: str, **more: str) -> bytes:
    return headers(**GOOD, **{COMMAND_ID_HEADER: command_id}, **more)


@pytest_asyncio.fixture
async def unharmed(system: System) -> AsyncIterator[Shop]:
    """Afterwards: all parts live, nothing is parked, others' orders are placed and their products added."""
    shop, pids = Shop(system), system.pids
    yield shop
    await shop.place(f"after-{id(shop)}-{n}" for n in range(100))
    await shop.settled()
    operator = KeepAlive(system.url, system.settings.api_key("operator"))
    product = msgspec.json.encode(
        {"sku": f"s{id(shop)}", "name": "n", "department": "d", "price": 1, "currency": "USD"}
    )
    reply = await operator.post("/products", product, "Prefer: wait=20\r\n")
    assert reply.status == 200, reply.body
    await until(shop.visible)
    models = msgspec.json.decode((await operator.get("/consistency-lag")).body)["read_models"]
    assert {each["error"] for each in models} == {""}
    for context in ("order", "product"):
        assert await ask(system.settings.write_dsn(context), PARKED.format(f'"{context}"')) == 0
    assert system.pids == pids
    assert shop.surprises == []


async def emptied(nc: Client) -> bool:
    return (await nc.jetstream().stream_info("COMMANDS")).state.messages == 0


async def receipts(system: System, ids: list[str]) -> dict[str, str]:
    """The codes under which these commands were rejected, by id."""
    http = KeepAlive(system.url, system.settings.api_key(USER))
    found = {}
    for command_id in ids:
        reply = await http.get(f"/commands/order/{command_id}")
        receipt = msgspec.json.decode(reply.body)
        if receipt.get("state") == "rejected":
            found[command_id] = receipt["code"]
    return found


async def test_what_cannot_be_a_command_is_rejected_by_a_receipt(system: System, unharmed: Shop) -> None:
    async with wire(system) as raw:
        for command_id, (key, body) in REJECTED.items():
            raw.write(SUBJECT % key, signed(command_id), body)
        raw.write(SUBJECT % b"k1", signed("version", **{EXPECTED_VERSION_HEADER: "-1"}), BODY)
        assert await raw.written() == []
    ids = [*REJECTED, "version"]

    async def all_rejected() -> bool:
        return len(await receipts(system, ids)) == len(ids)

    await until(all_rejected, what="all to be rejected")
    codes = await receipts(system, ids)
    assert codes.pop("rule") == "order.not-yours-to-state"
    assert codes.pop("too-large") == "too-large"
    assert set(codes.values()) == {"malformed"}


async def test_what_has_no_version_or_no_id_is_dropped(system: System, unharmed: Shop) -> None:
    async with wire(system) as raw:
        for garbage in DROPPED:
            raw.write(SUBJECT % b"k1", garbage, BODY)
            raw.write(SUBJECT % b"*", garbage, BODY)
        assert await raw.written() == []
    assert await receipts(system, ["unversioned", "later"]) == {}


@pytest.mark.parametrize("versioned", [True, False])
async def test_a_forged_reply_subject_does_nothing(system: System, unharmed: Shop, versioned: bool) -> None:
    """Not even while commands wait: the server's acknowledgement is no request to purge them."""
    ids = [f"waiting-{versioned}-{n}" for n in range(50)]
    system.kill("context-order", signal.SIGSTOP)
    try:
        await unharmed.place(ids)
        async with wire(system) as raw:
            for n, reply in enumerate(FORGED):
                names = signed(f"forged-{n}") if versioned else b""
                raw.write(SUBJECT % b"k1", names, BODY, reply.encode())
            assert await raw.written() == []
        await until(lambda: kept(system, len(ids) + len(FORGED)), what="nothing to be lost")
    finally:
        system.kill("context-order", signal.SIGCONT)
    await until(lambda: unharmed.decided(ids), what="the orders to be decided")


async def kept(system: System, number: int) -> bool:
    """Whether so many commands to order wait."""
    nc = await connect(system.settings, "admin")
    found = (await nc.jetstream().stream_info("COMMANDS", subjects_filter="work.order.>")).state.subjects or {}
    await nc.close()
    return sum(found.values()) >= number


async def test_batches_that_are_begun_and_never_ended_hold_nobody_up(system: System, unharmed: Shop) -> None:
    async with wire(system) as raw:
        for n in range(100):
            names = signed(f"batch-{n}", Nats_Batch_Id=f"open{n}", Nats_Batch_Sequence="1")
            raw.write(SUBJECT % b"k1", names, BODY)
        assert await raw.written() == []


async def test_orders_whose_message_ids_somebody_has_used_are_placed_all_the_same(
    system: System, unharmed: Shop
) -> None:
    ids = [f"victim-{n}" for n in range(20)]
    async with wire(system) as raw:
        for command_id in ids:
            raw.write(SUBJECT % b"k1", signed(f"of-{command_id}", Nats_Msg_Id=f"{PRINCIPAL}:order:{command_id}"), BODY)
        assert await raw.written() == []
    await unharmed.place(ids)
    await until(lambda: unharmed.decided(ids), what="the orders to be decided")


async def test_after_all_of_it_every_command_is_settled_and_the_record_is_whole(system: System) -> None:
    nc = await connect(system.settings, "admin")
    await until(lambda: emptied(nc), what="all commands to be settled and purged")
    await nc.close()
    assert await all_violations(system.settings, PRINCIPAL, []) == []
