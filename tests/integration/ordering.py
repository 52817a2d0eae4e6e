"""A shop that keeps ordering whatever breaks: it sends an order again under its own key until it is told 202."""

import asyncio
import time
from collections import Counter
from collections.abc import Collection, Iterable

import asyncpg
import msgspec

from common.recorded import derived_id
from gateway.cli.keepalive import KeepAlive
from tests.servers import System, until

PRINCIPAL, CUSTOMER = "replay", "household-1"
CONNECTIONS = 64
AGAIN = (503, 504)
BODY = msgspec.json.encode(
    {
        "customer_id": CUSTOMER,
        "site": "store-1",
        "deliver_to": {
            "name": "A Household",
            "street": "1 Main Street",
            "city": "Springfield",
            "postal_code": "45501",
            "country": "US",
        },
        "payment_method": "pm_ok",
        "currency": "USD",
        "channel": "replay",
        "lines": [
            {"sku": "1082185", "quantity": 2, "amount": 257, "department": "PRODUCE"},
            {"sku": "826249", "quantity": 0, "amount": 0, "department": "GROCERY"},
        ],
    }
)


def key_of(command_id: str) -> str:
    """The id of the order that a command has placed."""
    return derived_id(PRINCIPAL, command_id)


class Shop:
    """Places orders over HTTP, each under an id of its own. `again` counts why orders were sent again.

    `taken` are the ids that were answered 202 or with their receipt; `surprises` are answers that no document names.
    """

    def __init__(self, system: System) -> None:
        self._system = system
        self.http = KeepAlive(system.url, system.settings.api_key(PRINCIPAL))
        self.taken: list[str] = []
        self.again: Counter[str] = Counter()
        self.surprises: list[str] = []
        self._looking = asyncio.Lock()

    async def place(self, ids: Iterable[str], connections: int = CONNECTIONS) -> None:
        """Returns when all are taken; so many orders are on their way at a time."""
        waiting = iter(ids)
        async with asyncio.TaskGroup() as group:
            for _ in range(connections):
                group.create_task(self._place_some(waiting))

    async def _place_some(self, ids: Iterable[str]) -> None:
        for command_id in ids:
            while reason := await self.send(command_id):
                self.again[reason] += 1
                async with self._looking:
                    await until(self.takes_commands, within=60, what="the gateway to take commands again")

    async def send(self, command_id: str) -> str:
        """Sends one order once. Empty when it was taken, else why it has to be sent again."""
        try:
            reply = await self.http.post("/orders", BODY, f"Idempotency-Key: {command_id}\r\n")
        except (OSError, TimeoutError) as error:
            return type(error).__name__
        if reply.status in AGAIN:
            return f"{reply.status} {msgspec.json.decode(reply.body)['code']}"
        if reply.status == 202:
            self.taken.append(command_id)
        else:
            self.surprises.append(f"{command_id}: {reply.status} {reply.body.decode()}")
        return ""

    async def takes_commands(self) -> bool:
        return await self.answers("/readyz/commands", 200)

    async def status(self, path: str) -> int:
        return (await self.http.get(path)).status

    async def answers(self, path: str, status: int) -> bool:
        return await self.status(path) == status

    async def decided(self, ids: Collection[str]) -> bool:
        """Whether each of these commands has its receipt in the store."""
        sql = 'SELECT count(*) FROM "order".receipts WHERE principal = $1 AND command_id = ANY($2)'
        return await ask(self._system.settings.write_dsn("order"), sql, PRINCIPAL, list(ids)) == len(ids)

    async def visible(self) -> bool:
        """Whether the read tables have reached the heads of the records they follow."""
        for context in ("order", "product"):
            head = await ask(self._system.settings.write_dsn(context), f'SELECT position FROM "{context}".head')
            sql = "SELECT coalesce(min(position), 0) FROM read.checkpoints WHERE context = $1"
            if await ask(self._system.settings.read_dsn, sql, context) != head:
                return False
        return True

    async def relayed(self) -> bool:
        """Whether the relays say that they have published all."""
        reply = await self.http.get("/consistency-lag")
        said = {each["name"]: each for each in msgspec.json.decode(reply.body)["processes"] if each["kind"] == "relay"}
        for name in ("order", "product"):
            head = await ask(self._system.settings.write_dsn(name), f'SELECT position FROM "{name}".head')
            if name not in said or said[name]["said"].get("position") != head:
                return False
        return True

    async def settled(self, within: float = 60.0) -> None:
        """Waits until all that was taken is decided, visible and relayed."""
        await until(lambda: self.decided(self.taken), within, f"{len(self.taken)} orders to be decided")
        await until(self.visible, within, "all events to be visible")
        await until(self.relayed, within, "all events to be relayed")


async def ask(dsn: str, sql: str, *values: object) -> object:
    """One value from a database. Raises `OSError` while it cannot be asked."""
    try:
        connection = await asyncpg.connect(dsn, timeout=2)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise ConnectionError(str(error)) from error
    try:
        return await connection.fetchval(sql, *values, timeout=5)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
        raise ConnectionError(str(error)) from error
    finally:
        connection.terminate()


class Clock:
    """Seconds since it was made."""

    def __init__(self) -> None:
        self._begun = time.monotonic()

    @property
    def seconds(self) -> float:
        return time.monotonic() - self._begun
