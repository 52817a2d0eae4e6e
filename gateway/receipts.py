"""Receipts: asked of their context's process, and heard of when a worker pushes them."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from functools import cache

import msgspec
import nats.errors
from nats.aio.msg import Msg

from common.recorded import VERSION, VERSION_HEADER, Receipt, receipt_decoder
from common.shell.context_queries import context_query_types
from common.subjects import query_subject, receipt_subject
from gateway.link import Bus

MOST_IDS = 256
REQUEST_S = 2.0
NEXT_S = 0.05

own_queries = cache(context_query_types)
"""The queries that a context's process answers: History, AsOf, Receipts, Head; their types are made once."""

_answer = msgspec.json.Decoder(dict[str, Receipt])


class Silent(Exception):
    """The context's process did not answer: nothing is known of the receipt."""


_Answer = asyncio.Future[Receipt | Silent | None]


class _Asking:
    """The questions of one principal to one context that are not out yet."""

    def __init__(self) -> None:
        self.waiting: dict[str, _Answer] = {}
        self.task: asyncio.Task[None] | None = None


class Receipts:
    """Asks for receipts, many in one request, and waits for pushed ones."""

    def __init__(self, bus: Bus) -> None:
        self._bus = bus
        self._asking: dict[tuple[str, str], _Asking] = {}

    async def ask(self, principal: str, context: str, command_id: str, timeout_s: float) -> Receipt | None:
        """The stored receipt, or None when there is none. Raises `Silent` when nobody answered in time."""
        asking = self._asking.setdefault((principal, context), _Asking())
        answer = asking.waiting.get(command_id)
        if answer is None:
            answer = asking.waiting[command_id] = asyncio.get_running_loop().create_future()
        if asking.task is None:
            asking.task = asyncio.create_task(self._ask_all(principal, context, asking))
        try:
            receipt = await asyncio.wait_for(asyncio.shield(answer), timeout_s)
        except TimeoutError:
            raise Silent from None
        if isinstance(receipt, Silent):
            raise receipt
        return receipt

    async def _ask_all(self, principal: str, context: str, asking: _Asking) -> None:
        """Asks for what has gathered while the last question was out; one that stays out long holds nobody up."""
        while asking.waiting:
            ids = list(asking.waiting)[:MOST_IDS]
            answers = {command_id: asking.waiting.pop(command_id) for command_id in ids}
            await asyncio.wait({asyncio.create_task(self._settle(principal, context, answers))}, timeout=NEXT_S)
        del self._asking[principal, context]

    async def _settle(self, principal: str, context: str, answers: dict[str, _Answer]) -> None:
        found = await self._request(principal, context, list(answers))
        for command_id, answer in answers.items():
            answer.set_result(Silent() if found is None else found.get(command_id))

    async def _request(self, principal: str, context: str, ids: list[str]) -> dict[str, Receipt] | None:
        query = own_queries(context).receipts(ids)
        subject = query_subject(principal, type(query).__name__)
        try:
            reply = await self._bus.nc.request(subject, msgspec.json.encode(query), timeout=REQUEST_S)
            return _answer.decode(reply.data)
        except Exception:  # Whatever the reason, nothing is known; the doors go on without.
            return None

    @asynccontextmanager
    async def pushed(
        self, principal: str, context: str, command_id: str, hash: str
    ) -> AsyncIterator[Callable[[float], Awaitable[Receipt | None]]]:
        """Listens from now on; the call gives the receipt of this very command when it comes in time, else None."""
        arrived: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

        async def hear(message: Msg) -> None:
            if (message.headers or {}).get(VERSION_HEADER) != VERSION:
                return  # A server's acknowledgement, steered here by a forged reply subject.
            receipt = receipt_decoder.decode(message.data)
            if receipt.hash == hash and not arrived.done():  # Another body under our id is answered there too.
                arrived.set_result(receipt)

        async def within(seconds: float) -> Receipt | None:
            try:
                return await asyncio.wait_for(asyncio.shield(arrived), seconds)
            except TimeoutError:
                return None

        subscription = await self._bus.nc.subscribe(receipt_subject(principal, context, command_id), cb=hear)
        try:
            yield within
        finally:
            with suppress(nats.errors.Error):  # The connection is gone, and the subscription with it.
                await subscription.unsubscribe()
