"""What the gateway's queries need to be as fresh as they are wished: news, receipts and heads, all by the bus."""

import asyncio
from collections.abc import Collection

import msgspec
import nats.errors

from common.recorded import Receipt
from common.shell.context_queries import HeadAnswer
from common.shell.heads import Heads
from common.shell.news import News
from common.shell.reading import Sources
from common.shell.room import Room
from common.subjects import query_subject
from gateway.link import Bus
from gateway.problems import Problem
from gateway.receipts import Receipts, Silent, own_queries

OWN_NAME = "gateway"
ANSWER_S = 1.0


class Freshness:
    """Listens while it runs; `sources` are what a query asks."""

    def __init__(self, bus: Bus, receipts: Receipts, contexts: Collection[str], room: Room) -> None:
        self._bus, self._receipts, self._news = bus, receipts, News()
        self.sources = Sources(lambda: bus.nc, self._receipt, self._news, Heads(self.head), contexts, room)

    async def run(self) -> None:
        """Listens from now on: what is subscribed stays so when the connection is made anew."""
        await self._bus.connected.wait()
        while True:
            try:
                return await self._news.listen(self._bus.nc)
            except (nats.errors.Error, Problem):
                await asyncio.sleep(ANSWER_S)

    async def head(self, context: str, positions: tuple[int, ...]) -> HeadAnswer | None:
        """Asks a context's process for its head; None when it does not answer."""
        query = own_queries(context)[3](positions)
        subject = query_subject(OWN_NAME, type(query).__name__)
        try:
            reply = await self._bus.nc.request(subject, msgspec.json.encode(query), timeout=ANSWER_S)
            head = msgspec.json.decode(reply.data, type=HeadAnswer)
        except (nats.errors.Error, TimeoutError, msgspec.MsgspecError, Problem):
            return None
        return head if len(head.lag) == len(positions) else None

    async def _receipt(self, principal: str, context: str, command_id: str) -> Receipt | None:
        try:
            return await self._receipts.ask(principal, context, command_id, ANSWER_S)
        except Silent:
            raise TimeoutError from None
