"""Publishing into a stream in batches: concurrent callers share one atomic batch, so one disk write (protocols P5).

Measured with `sync_interval: always`: 4,370 messages a second one by one, 29,700 in batches of 128.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Mapping, Sequence
from itertools import count

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from common.bus.frames import frame, publish_frames
from common.bus.outgoing import (
    FULL,
    Ack,
    Message,
    OutcomeUnknown,
    Outgoing,
    PubAck,
    fail,
    outgoing,
    read,
    settle,
)
from common.bus.recent import Recent

log = logging.getLogger(__name__)

MAX_BATCH_BYTES = 1024 * 1024
"""Half of what nats-py buffers before a publish waits for the socket."""
FEW = 8
"""So many go one by one: for each batch the server makes a staging store on the disk and removes it, which takes as
long as 8 to 16 disk writes. With 4 connections that is 2.4 times as many orders a second as in batches of two."""
POLL_S = 0.05
REMEMBERED = 50_000


class Batches:
    """Publishes what is there now, at most `size` messages, and then what has come meanwhile. All go to one stream.

    Of messages published by one task after another the order is kept, and among concurrent ones the order of the calls,
    but for those with an id seen lately: one repeated id would make the server refuse a whole batch, so they go singly.
    """

    def __init__(self, nc: Client, *, size: int = 256, deadline_s: float = 5.0) -> None:
        self._nc, self._size, self._deadline_s = nc, size, deadline_s
        self._waiting: deque[Outgoing] = deque()
        self._recent = Recent(REMEMBERED)
        self._runner: asyncio.Task[None] | None = None
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._replies: dict[str, asyncio.Future[Msg]] = {}
        self._numbers = count(1)
        self._deadlines: deque[tuple[float, asyncio.Future[Ack]]] = deque()

    async def publish(self, subject: str, headers: Mapping[str, str], body: bytes, msg_id: str = "") -> Ack:
        """Store one message. With a `msg_id` the server stores it once within the stream's window (two minutes).

        Raises `TooLarge`, `StreamFull`, `Refused`, and `OutcomeUnknown` after the deadline. A caller that is cancelled
        may or may not have published. White space in the subject, or a line end in a header, is a ValueError.
        """
        message = outgoing(Message(subject, headers, body), msg_id)
        message.suspect = bool(msg_id) and self._recent.seen(msg_id)
        self._put(message, asyncio.get_running_loop().time() + self._deadline_s)
        return await message.answer

    async def publish_all(self, messages: Sequence[Message]) -> list[Ack]:
        """Store these messages, `size` at most, in this order. Raises as `publish` does for the first that failed.

        More than `FEW` are stored all or none, whatever the server has against them. Few go one by one, and others may
        be stored then, also behind the one that failed: give few only where their order does not matter.
        """
        sent = [outgoing(message) for message in messages]
        answers = [message.answer for message in sent]
        # One for all: else, for a moment, those behind could be sent when those before have just been given up.
        deadline = asyncio.get_running_loop().time() + self._deadline_s
        for message in sent:
            message.together = True
            self._put(message, deadline)
        try:
            await asyncio.gather(*answers, return_exceptions=True)
        finally:
            for answer in answers:
                answer.cancel()  # When nobody waits any more, what was not sent yet need not be.
        return [answer.result() for answer in answers]

    def _put(self, message: Outgoing, deadline: float) -> None:
        loop = asyncio.get_running_loop()
        self._waiting.append(message)
        if self._runner is None or self._runner.done():
            self._runner = loop.create_task(self._run())
        self._deadlines.append((deadline, message.answer))
        if len(self._deadlines) == 1:
            loop.call_at(deadline, self._end_overdue)

    def _end_overdue(self) -> None:
        """Ends the waiting of callers past their deadline. One timer for all: one for each costs 6 % of a POST."""
        loop = asyncio.get_running_loop()
        while self._deadlines and (self._deadlines[0][0] <= loop.time() or self._deadlines[0][1].done()):
            _, answer = self._deadlines.popleft()
            if not answer.done():
                answer.set_exception(OutcomeUnknown(f"no answer within {self._deadline_s:g} s"))
        if self._deadlines:
            loop.call_at(self._deadlines[0][0], self._end_overdue)

    async def _run(self) -> None:
        """Sends batch after batch while messages wait."""
        while self._waiting:
            if not self._can_send():
                await asyncio.sleep(POLL_S)
                while self._waiting and self._waiting[0].answer.done():
                    self._waiting.popleft()
                continue
            messages = self._next()
            try:
                await self._send(messages)
            except nats.errors.Error as error:
                fail(messages, str(error) or type(error).__name__)
            except Exception as error:
                log.exception("a batch could not be published")
                fail(messages, repr(error))

    def _can_send(self) -> bool:
        """Whether what is sent goes out now; nats-py would keep it, and send it when its caller has long gone."""
        if self._nc.is_closed:
            return True  # Then sending fails at once, and says so.
        return self._nc.is_connected and self._nc.pending_data_size < MAX_BATCH_BYTES

    def _next(self) -> list[Outgoing]:
        """What is there now, at most `size` messages and about `MAX_BATCH_BYTES`, but for those nobody waits for."""
        messages: list[Outgoing] = []
        size = 0
        while self._waiting and len(messages) < self._size and size < MAX_BATCH_BYTES:
            message = self._waiting.popleft()
            if not message.answer.done():
                messages.append(message)
                size += message.size
        return messages

    async def _send(self, messages: list[Outgoing]) -> None:
        reconnects = self._nc.stats["reconnects"]
        if self._subscription is None:
            self._subscription = await self._nc.subscribe(f"{self._inbox}.*", cb=self._receive)
        fresh = [message for message in messages if not message.suspect]
        if len(fresh) > FEW:
            await self._send_batch(fresh, reconnects)
        else:
            await self._send_singly(fresh, reconnects)
        await self._send_singly([message for message in messages if message.suspect], reconnects)

    async def _send_batch(self, messages: Sequence[Outgoing], reconnects: int) -> None:
        """As one atomic batch (ADR-50): all or nothing, one answer. After any refusal but `full` those go one by one
        that were not given together: what fails amid others must not be overtaken by what comes behind it."""
        number = str(next(self._numbers))
        identity = f"{self._inbox.rsplit('.', 1)[1]}.{number}".encode()
        frames = []
        for place, message in enumerate(messages, 1):
            lines = message.headers + b"Nats-Batch-Id: %b\r\nNats-Batch-Sequence: %d\r\n" % (identity, place)
            if place < len(messages):
                frames.append(frame(message.subject, lines, message.body))
            else:
                commit = lines + b"Nats-Batch-Commit: 1\r\n"
                frames.append(frame(message.subject, commit, message.body, f"{self._inbox}.{number}"))
        reply = self._expect(number)
        await publish_frames(self._nc, frames)
        await self._replied([reply], messages, reconnects)
        if not reply.done():
            fail(messages, "the connection was lost")
            return
        ack = read(reply.result())
        if ack.error is None:
            first = ack.seq - len(messages) + 1
            for place, message in enumerate(messages):
                settle(message, PubAck(first + place))
            return
        for message in messages:
            if message.together or ack.error.err_code == FULL:
                settle(message, ack)
        if rest := [message for message in messages if not message.answer.done()]:
            log.debug("a batch of %d goes one by one: %s", len(messages), ack.error.description)
            await self._send_singly(rest, reconnects)

    async def _send_singly(self, messages: Sequence[Outgoing], reconnects: int) -> None:
        """Each with an answer of its own, in order, without waiting for one before the next."""
        replies, frames = [], []
        for message in messages:
            number = str(next(self._numbers))
            replies.append(self._expect(number))
            frames.append(frame(message.subject, message.headers, message.body, f"{self._inbox}.{number}"))
        await publish_frames(self._nc, frames)
        await self._replied(replies, messages, reconnects)
        for message, reply in zip(messages, replies, strict=True):
            if reply.done():
                settle(message, read(reply.result()))
        fail(messages, "the connection was lost")

    def _expect(self, number: str) -> asyncio.Future[Msg]:
        reply: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        self._replies[number] = reply
        return reply

    async def _replied(self, replies: list[asyncio.Future[Msg]], messages: Sequence[Outgoing], reconnects: int) -> None:
        """Until all replies are there, or none can come any more, or no caller waits any more."""
        pending = set(replies)
        while pending:
            _, pending = await asyncio.wait(pending, timeout=POLL_S)
            lost = not self._nc.is_connected or self._nc.stats["reconnects"] != reconnects
            if lost or all(message.answer.done() for message in messages):
                break
        self._replies.clear()

    async def _receive(self, message: Msg) -> None:
        """The callback of our inbox. A reply that nobody expects any more is dropped."""
        reply = self._replies.pop(message.subject.rsplit(".", 1)[1], None)
        if reply is not None and not reply.done():
            reply.set_result(message)
