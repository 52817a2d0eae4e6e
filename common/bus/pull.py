"""Reading a stream in batches: what is there now, at least one, at most N (protocols P2, P8).

One subscription on an inbox of our own receives all messages, and a standing request keeps a lone message from waiting.
nats-py's `fetch` costs a task and a timer for each message, and now and then stalls for a second after a pause.

The consumer acknowledges nothing and remembers nothing that matters: the reader knows its place and carries it
elsewhere. So a consumer in doubt is never repaired. It is left to the server's inactivity threshold and made anew under
another name behind the last message received. In doubt it is after a reconnect, after an error status, when its own
sequence has a gap, when an idle heartbeat says that more was delivered than came (heartbeats travel behind the
messages, unlike an answer to CONSUMER.INFO, which overtakes them on a busy stream), and when it is gone in silence.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import Any

import nats.errors
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from common.bus.api import CONSUMER_NOT_FOUND, ApiError, ask_jetstream
from common.bus.place import PLACED, parse_place
from common.bus.straight import no_more, straight
from common.bus.tolerance import plain_headers

log = logging.getLogger(__name__)

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000_000
REQUEST_EXPIRES, HEARTBEAT, INACTIVE = 20 * SECOND, 1 * SECOND, 30 * SECOND
"""In nanoseconds, as the server takes them."""
FIRST_LOOK_S, LAST_LOOK_S = 2.5, 5.0
"""After how long a silence, without even a heartbeat, the server is asked for the consumer; then less often."""
RETRY_S = 0.1
QUESTION_S = 2.0


class Pulled(Struct, frozen=True, gc=False):
    """A stored message. `at` is when the stream stored it; `pending` is how many more the consumer knew of then."""

    subject: str
    data: bytes
    block: bytes
    sequence: int
    at: datetime
    pending: int

    @property
    def headers(self) -> dict[str, str] | None:
        """Read anew each time: keep them."""
        return plain_headers(self.block)

    def says(self, name: str, value: str) -> bool:
        """Whether it has this header. For few of many it is quicker than to read them all."""
        line = f"\r\n{name}: {value}\r\n".encode()
        if line in self.block and self.block.count(line[: len(name) + 3]) == 1:
            return True
        return (self.headers or {}).get(name) == value


class Puller:
    """A reader of one stream from sequence `start` on; a start outside the stream's range is its nearer end.

    At most `2 * batch` messages are requested or wait here. `idle_since` is the monotonic time of the last message, or
    of the beginning; `remade` counts how often the consumer had to be made anew. For one taker at a time.
    """

    def __init__(self, nc: Client, stream: str, filters: Sequence[str], start: int, *, batch: int = 256) -> None:
        self.idle_since = self._heard = monotonic()
        self.remade = 0
        self._nc, self._stream, self._filters, self._batch = nc, stream, list(filters), batch
        self._next = max(start, 1)
        self._waiting: deque[Pulled] = deque()
        self._changed = asyncio.Event()
        self._inbox = nc.new_inbox()
        self._subscription: Subscription | None = None
        self._consumer = ""  # Empty when it has to be made anew.
        self._tries = 0
        self._reconnects = 0
        self._consumer_sequence = 0
        self._requested = 0
        self._look_after = FIRST_LOOK_S
        self._trouble = ""

    async def take(self, limit: int, timeout: float) -> list[Pulled]:  # noqa: ASYNC109  its end is an answer, no error
        """What is there now, at least one, at most `limit`; nothing when `timeout` seconds passed without a message.

        Waits while the connection or the stream is away; a frozen server may hold it some seconds longer. Raises
        nats-py's `ConnectionClosedError` once the connection has been closed for good.
        """
        deadline = monotonic() + timeout
        while not await self._ready():
            if (left := deadline - monotonic()) <= 0:
                return []
            await self._wait(left)
        waiting = self._waiting
        taken = [waiting.popleft() for _ in range(min(limit, len(waiting)))]
        await self._top_up()
        return taken

    async def close(self) -> None:
        """Stop reading. The consumer is deleted if the server can be reached, else it goes by itself."""
        consumer, self._consumer = self._consumer, ""
        if self._nc.is_closed:
            return
        if self._subscription:
            no_more(self._nc, self._subscription)
            await self._subscription.unsubscribe()
            self._subscription = None
        if consumer and self._nc.is_connected:
            try:
                await ask_jetstream(self._nc, f"CONSUMER.DELETE.{self._stream}.{consumer}", {}, QUESTION_S)
            except (ApiError, nats.errors.Error):
                log.info("consumer %s of %s is left to its inactivity threshold", consumer, self._stream)

    async def _ready(self) -> bool:
        """Whether a message waits; sees to it first that a consumer delivers to us."""
        if self._nc.is_closed:
            raise nats.errors.ConnectionClosedError
        if self._reconnects != self._nc.stats["reconnects"]:
            self._consumer = ""
        if not self._consumer and self._nc.is_connected:
            try:
                await self._make_consumer()
                self._trouble = ""
            except (ApiError, nats.errors.Error) as error:
                trouble = str(error) or type(error).__name__
                if trouble != self._trouble:  # Said once, not at each of many tries.
                    log.warning("no consumer on %s: %s", self._stream, trouble)
                self._trouble = trouble
        return bool(self._waiting)

    async def _make_consumer(self) -> None:
        if self._subscription is None:
            # No limits of its own: what may come is what was requested, and dropping would be silent.
            self._subscription = await self._nc.subscribe(
                f"{self._inbox}.*", cb=self._receive_status, pending_msgs_limit=0, pending_bytes_limit=0
            )
            straight(self._nc, self._subscription, self._receive)
        self._reconnects = self._nc.stats["reconnects"]
        self._tries += 1
        name = f"{self._inbox.rsplit('.', 1)[1]}_{self._tries}"
        # Beyond the end the server would wait for that very sequence: for ever, on a stream that was made anew.
        info = await ask_jetstream(self._nc, f"STREAM.INFO.{self._stream}", {}, QUESTION_S)
        self._next = min(self._next, info["state"]["last_seq"] + 1)
        config: dict[str, Any] = {
            "name": name,
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": self._next,
            "ack_policy": "none",
            "filter_subjects": self._filters,
            "inactive_threshold": INACTIVE,
            "mem_storage": True,  # It holds nothing worth a disk write for each delivery.
        }
        question = {"stream_name": self._stream, "config": config, "action": "create"}
        await ask_jetstream(self._nc, f"CONSUMER.CREATE.{self._stream}.{name}", question, QUESTION_S)
        self._consumer = name
        self._consumer_sequence = self._requested = 0
        self._heard, self._look_after = monotonic(), FIRST_LOOK_S
        await self._top_up()

    async def _top_up(self) -> None:
        """Request more once half of what may be requested has been taken."""
        while self._consumer and self._requested + len(self._waiting) <= self._batch:
            await self._ask_for(self._batch)

    async def _ask_for(self, count: int) -> None:
        self._requested += count
        request = b'{"batch":%d,"expires":%d,"idle_heartbeat":%d}' % (count, REQUEST_EXPIRES, HEARTBEAT)
        subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._stream}.{self._consumer}"
        await self._nc.publish(subject, request, reply=f"{self._inbox}.{self._tries}")

    def _receive(self, subject: bytes, reply: bytes, block: bytes, body: bytes) -> bool:
        """Takes a message of the stream. What has no place in a consumer is a status."""
        if not reply.startswith(PLACED):
            return False
        place = parse_place(reply.decode())
        if place.consumer != self._consumer:
            return True  # A latecomer from a consumer given up; its successor delivers the message again.
        if place.consumer_sequence != self._consumer_sequence + 1:
            self._give_up(f"a gap before its message {place.consumer_sequence}")
            return True
        self._consumer_sequence += 1
        self._requested -= 1
        self._next = place.sequence + 1
        self.idle_since = self._heard = monotonic()
        at = EPOCH + timedelta(microseconds=place.nanoseconds // 1000)
        name = subject.decode("utf-8", "replace")
        self._waiting.append(Pulled(name, body, block, place.sequence, at, place.pending))
        self._changed.set()
        return True

    async def _receive_status(self, message: Msg) -> None:
        """A heartbeat tells what should have come, 408 ends a request, any other status ends the consumer."""
        if not self._consumer or message.reply or message.subject != f"{self._inbox}.{self._tries}":
            return
        self._heard, self._look_after = monotonic(), FIRST_LOOK_S
        headers = message.headers or {}
        match headers.get("Status"):
            case "100":
                if (sent := int(headers.get("Nats-Last-Consumer", 0))) > self._consumer_sequence:
                    self._give_up(f"it sent {sent} messages, {self._consumer_sequence} came")
            case "408":
                self._requested -= int(headers.get("Nats-Pending-Messages", self._batch))
                await self._top_up()
            case status:
                self._give_up(f"status {status} {headers.get('Description', '').strip()}")

    def _give_up(self, reason: str) -> None:
        log.warning("consumer %s of %s is made anew from %d: %s", self._consumer, self._stream, self._next, reason)
        self._consumer = ""
        self.remade += 1
        self._changed.set()

    async def _wait(self, left: float) -> None:
        """Until something changes, at most `left` seconds; looks after the consumer when it keeps silent."""
        self._changed.clear()
        until_look = self._heard + self._look_after - monotonic() if self._consumer else RETRY_S
        if await self._change_within(min(left, until_look)) or not self._consumer or left < until_look:
            return
        self._heard, self._look_after = monotonic(), LAST_LOOK_S
        await self._look()

    async def _look(self) -> None:
        """Give the consumer up when it is gone, or has lost our request."""
        if self._reconnects != self._nc.stats["reconnects"] or not self._nc.is_connected:
            return
        consumer = self._consumer
        try:
            info = await ask_jetstream(self._nc, f"CONSUMER.INFO.{self._stream}.{consumer}", {}, QUESTION_S)
        except ApiError as error:
            if error.code == CONSUMER_NOT_FOUND and consumer == self._consumer:
                self._give_up(str(error))
            return
        except nats.errors.Error:
            return
        if info["num_waiting"] or consumer != self._consumer:
            return
        if info["delivered"]["consumer_seq"] <= self._consumer_sequence:
            self._give_up("it holds no request of ours")
        else:  # The rest is lost or on its way; the heartbeat of one more request comes behind it and will tell.
            await self._ask_for(1)

    async def _change_within(self, seconds: float) -> bool:
        """Whether something changed within the time."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True
