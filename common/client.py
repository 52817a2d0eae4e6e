"""A client for those who talk NATS: sends commands, waits for receipts, asks queries, watches.

It knows no business. Commands and queries are given as structs, or by plain names with their JSON (`*_named`). Nothing
that is sent twice under one command id happens twice, so whatever raised `OutcomeUnknown` may be sent again.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterable
from contextlib import aclosing, asynccontextmanager, suppress
from functools import cache
from typing import Any
from uuid import uuid4

import msgspec
import nats.errors
from msgspec import Struct
from msgspec.structs import replace
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from common.bus.api import ApiError, ask_jetstream
from common.bus.batches import Batches
from common.bus.bucket import FOLD_HEADER
from common.bus.denials import Denials, NotPermitted
from common.bus.watching import watched
from common.codec import CommandCodec, command_key, event_encoder
from common.messages import Command, Query, context_of
from common.questions import Answered, NoAnswer, QueryRefused, Questions
from common.recorded import (
    COMMAND_ID_HEADER,
    EXPECTED_VERSION_HEADER,
    VERSION,
    VERSION_HEADER,
    Receipt,
    receipt_decoder,
)
from common.subjects import command_subject, is_token

ASK_S = 5.0
FIRST_LOOK_S = 0.5
MOST_WATCHED = 10_000
ID_USED = "command-id-used"
ID_USED_TEXT = "this command id already belongs to another command"


class Sent(Struct, frozen=True):
    """A command that is stored durably, at `sequence` of the stream. Its receipt will say what became of it.

    `hash` tells it from another command under the same id; it is there when the id was chosen and the type is known.
    """

    context: str
    key: str
    command_id: str
    sequence: int
    hash: str = ""


class Client:
    """A principal's connection. Made by `connect`."""

    def __init__(self, nc: Nats, principal: str, errors: Denials) -> None:
        self._nc, self.principal, self.errors = nc, principal, errors
        self._batches = Batches(nc)
        self._questions = Questions(nc, principal, errors)
        self._waiting: dict[tuple[str, str], list[tuple[str, asyncio.Future[Receipt]]]] = {}
        self._watching: set[asyncio.Queue[Receipt]] = set()
        self._listening: asyncio.Task[None] | None = None

    async def send(self, command: Command, *, command_id: str = "", expected_version: int | None = None) -> Sent:
        """Send a command; returns once it is stored. Without a command id, one is made.

        Raises `NotPermitted`; and `StreamFull`, `TooLarge`, `Refused`, `OutcomeUnknown` (common.bus.batches).
        """
        kind = type(command)
        body, key = body_of(command), command_key(command)
        sent = await self.send_named(context_of(kind), kind.__name__, key, body, command_id, expected_version)
        # Only an id that was chosen can be another command's already.
        return replace(sent, hash=_codec(kind).hash(command, expected_version)) if command_id else sent

    async def send_many(self, commands: Iterable[Command]) -> list[Sent]:
        """Send commands, in this order, sharing the server's disk writes. Raises as `send`; then some may be stored."""
        return await asyncio.gather(*(self.send(command) for command in commands))

    async def send_named(
        self, context: str, type_name: str, key: str, body: bytes,
        command_id: str = "", expected_version: int | None = None,
    ) -> Sent:  # fmt: skip
        """As `send`, by plain names and with the JSON of the body. Raises `ValueError` for what is no token."""
        command_id = command_id or uuid4().hex
        if odd := [token for token in (context, type_name, key, command_id) if not is_token(token)]:
            raise ValueError(f"{odd[0]!r} must be 1 to 64 letters, digits, '_' or '-'")
        headers = {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: command_id}
        if expected_version is not None:
            headers[EXPECTED_VERSION_HEADER] = str(expected_version)
        subject = command_subject(self.principal, context, key, type_name)
        try:
            with self.errors.heard(subject):
                ack = await self._batches.publish(subject, headers, body)
        except NotPermitted:
            raise NotPermitted(f"{self.principal} may not send {type_name} to {context}") from None
        return Sent(context, key, command_id, ack.sequence)

    async def wait(self, sent: Sent, within: float = 30.0) -> Receipt:
        """The receipt, as soon as it is there. Raises `TimeoutError` when there is none after so many seconds.

        A pushed receipt may be lost, or have come before: the store is asked first, now and then, and last. When the id
        is another command's, the receipt is a refusal with code `command-id-used`.
        """
        await self._listen()
        answer: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()
        waiting = self._waiting.setdefault((sent.context, sent.command_id), [])
        waiting.append((sent.hash, answer))
        pause, left = FIRST_LOOK_S, within
        try:
            while not (stored := await self._stored(sent)) and left > 0:
                with suppress(TimeoutError):
                    return await asyncio.wait_for(asyncio.shield(answer), min(pause, left))
                left -= pause
                pause *= 2
        finally:
            waiting.remove((sent.hash, answer))
            if not waiting:
                self._waiting.pop((sent.context, sent.command_id), None)
        if not stored:
            raise TimeoutError(f"the command {sent.command_id} is not decided after {within:g} s")
        if sent.hash and stored.hash != sent.hash:
            return replace(stored, state="rejected", code=ID_USED, message=ID_USED_TEXT, hash=sent.hash)
        return stored

    async def receipt(self, context: str, command_id: str) -> Receipt | None:
        """The stored receipt, or None while there is none. Raises `NoAnswer`."""
        answer = await self.ask_named(f"{context.capitalize()}Receipts", {"ids": [command_id]})
        return msgspec.convert(answer, dict[str, Receipt]).get(command_id)

    async def ask(
        self, query: Query, within: float = ASK_S, *, after: Sent | str = "", until: Iterable[str] = ()
    ) -> Any:
        """The answer to a query, as plain data.

        `after` is a command that it must show, or a position as an answer gave it; `until` are states to wait for.
        Raises `QueryRefused` and `NoAnswer`.
        """
        return (await self.answer(query, within, after=after, until=until)).value

    async def answer(
        self, query: Query, within: float = ASK_S, *, after: Sent | str = "", until: Iterable[str] = ()
    ) -> Answered:
        """As `ask`, and how fresh the answer is."""
        fields, name = msgspec.to_builtins(query), type(query).__name__
        token = after if isinstance(after, str) else f"{after.context}:{after.command_id}"
        return await self._questions.ask(name, fields, within, token, ",".join(until))

    async def ask_named(self, type_name: str, fields: Any, within: float = ASK_S) -> Any:
        """As `ask`, by the query's name."""
        return (await self._questions.ask(type_name, fields, within)).value

    @asynccontextmanager
    async def watch(self) -> AsyncIterator[AsyncIterator[Receipt]]:
        """Every receipt of this principal from now on. The oldest are dropped when they are not taken fast enough."""
        await self._listen()
        queue: asyncio.Queue[Receipt] = asyncio.Queue(MOST_WATCHED)

        async def receipts() -> AsyncIterator[Receipt]:
            while True:
                yield await queue.get()

        self._watching.add(queue)
        try:
            yield receipts()
        finally:
            self._watching.discard(queue)

    @asynccontextmanager
    async def watch_key(self, bucket: str, key: str) -> AsyncIterator[AsyncIterator[Any]]:
        """What lies under a key of a bucket now, if anything, and each change, as plain data; None when it is gone.

        Takes the role `watch`. Raises `NotPermitted`, and `NoAnswer` when there is no such bucket.
        """
        stream, subject = f"KV_{bucket}", f"$KV.{bucket}.{key}"
        try:
            with self.errors.heard(f"$JS.API.STREAM.INFO.{stream}"):
                await ask_jetstream(self._nc, f"STREAM.INFO.{stream}", {})
        except NotPermitted:
            raise NotPermitted(f"{self.principal} may not watch {bucket}") from None
        except (ApiError, nats.errors.Error, TimeoutError):
            raise NoAnswer(f"there is no bucket {bucket}, or nobody answers for it") from None
        async with aclosing(watched(self._nc, stream, subject)) as messages, aclosing(_values(messages)) as values:
            yield values

    async def _stored(self, sent: Sent) -> Receipt | None:
        try:
            return await self.receipt(sent.context, sent.command_id)
        except (NoAnswer, QueryRefused):
            return None

    async def _listen(self) -> None:
        """Subscribe to our receipts, once; returns when the server has taken note."""
        if self._listening is None:
            self._listening = asyncio.create_task(self._subscribe())
        await asyncio.shield(self._listening)

    async def _subscribe(self) -> None:
        await self._nc.subscribe(f"receipt.{self.principal}.>", cb=self._hear)
        await self._nc.flush()

    async def _hear(self, message: Msg) -> None:
        if (message.headers or {}).get(VERSION_HEADER) != VERSION:
            return  # Not ours: a server's own acknowledgement can be steered here.
        receipt = receipt_decoder.decode(message.data)
        for hash, answer in self._waiting.get((receipt.context, receipt.command_id), ()):
            if hash in ("", receipt.hash) and not answer.done():
                answer.set_result(receipt)
        for queue in self._watching:
            if queue.full():
                queue.get_nowait()
            queue.put_nowait(receipt)


@asynccontextmanager
async def connect(url: str, principal: str, password: str, *, within: float = 5.0) -> AsyncIterator[Client]:
    """A client for as long as the block runs. Raises `ConnectionError` when it cannot connect within so many seconds.

    Later it reconnects for ever.
    """
    errors, nc = Denials(), Nats()
    try:
        async with asyncio.timeout(within):
            await nc.connect(
                url,
                user=principal,
                password=password,
                name=principal,
                inbox_prefix=f"_INBOX.{principal}".encode(),
                error_cb=errors.note,
                max_reconnect_attempts=-1,
                reconnect_time_wait=0.25,  # type: ignore[arg-type]  # any number of seconds, passed to asyncio.sleep
                connect_timeout=2,
                ping_interval=5,
            )
    except TimeoutError:
        raise ConnectionError(f"no connection to {url} within {within:g} s: {errors.last}") from None
    try:
        yield Client(nc, principal, errors)
    finally:
        await nc.close()


def body_of(command: Command) -> bytes:
    """The JSON of a command without its key, which travels in the subject or the path.

    Raises TypeError when it holds personal data that is not sealed."""
    return event_encoder.encode(_codec(type(command)).body(*msgspec.structs.astuple(command)[1:]))


_codec = cache(CommandCodec)


async def _values(messages: AsyncIterator[Msg]) -> AsyncGenerator[Any, None]:
    """What is ours of them, and only what changes: who begins anew is told the last value again."""
    before = ""
    async for each in messages:
        fold = (each.headers or {}).get(FOLD_HEADER, "")
        if fold and fold != before:
            yield msgspec.json.decode(each.data) if each.data else None
            before = fold
