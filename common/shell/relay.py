"""The relay: publishes a context's events from its store to its EVENTS stream, in position order (protocol P7).

It keeps no checkpoint: the stream's last message says where it is. Each message states the sequence after which it must
come, and within a batch also the message, so the first one that is refused or lost takes all behind it along. A second
relay, or a publish that a broken connection held back, cannot put anything out of order. After any error the tail is
read again; what of a batch was stored before the refusal stays and counts.

Who has a user in our account can put strays into the stream, by a forged reply subject. While they come, a batch is a
race from the reading of the tail to its last message. So nothing is done in between, a lost race is run again at once
with a shorter batch.

The sequence alone would not do: of a batch at 5 whose first three were refused because strays had taken 6, 7 and 8, the
fourth would fit again, and leave a hole. Message ids serve for that chain only. They are new for each attempt, so that
the server's memory of ids never takes a message for a repeat.
"""

import asyncio
import logging
from collections.abc import Sequence
from time import monotonic
from typing import Any

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.bus.api import ApiError
from common.bus.frames import frame, publish_frames
from common.recorded import (
    INCARNATION_HEADER,
    POSITION_HEADER,
    VERSION,
    VERSION_HEADER,
    Recorded,
    recorded_encoder,
)
from common.shell.clocks import UNMEASURED, ServerClock
from common.shell.durations import timed
from common.shell.hops import Hops
from common.shell.patience import AWAY
from common.shell.refusals import Overtaken, Refused, Stalled, acknowledgement, refusal
from common.shell.tail import Tail, TailReader
from common.store.reader import EventReader
from common.subjects import event_subject

log = logging.getLogger(__name__)

PAGE = 512
BATCH, SHORTEST_BATCH = 256, 16
LOST_RACES = 50
"""How often in a row, without a single message stored, until the relay rests and shows it."""
POLL_S = 1.0
"""How long to wait for a hint before looking anyway: hints may be lost."""
ACK_WITHIN_S = 2.0
SHORTEST_S, LONGEST_S = 0.05, 2.0
EXPECTED_SEQUENCE = "Nats-Expected-Last-Sequence"
EXPECTED_ID = "Nats-Expected-Last-Msg-Id"
MESSAGE_ID = "Nats-Msg-Id"


EXPECTED = (*AWAY, ApiError, nats.errors.Error, Refused, Stalled)
"""What may go wrong with servers; anything else is a fault of ours, is shown as well, and tried again as well."""


class Relay:
    """The relay of one context. At most one should run, under a lease; if two do, each message goes through once.

    To be shown: `position` published, `published` since the start, `last_error` ("" when all is well) and `stalled`,
    which is "incarnation" while the relay waits for somebody to decide; `overtaken` counts lost races.
    """

    def __init__(self, nc: Client, reader: EventReader, context: str, clock: ServerClock = UNMEASURED) -> None:
        self._nc, self._reader, self._context, self._clock = nc, reader, context, clock
        self.hops = Hops("recorded_to_relayed")
        self._woken = asyncio.Event()
        self._inbox = nc.new_inbox()
        self._batch = 0
        self._size = BATCH
        self._tail = TailReader(nc, f"EVENTS_{context}")
        self._ack: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self.position = 0
        self.published = self.overtaken = 0
        self.last_error = ""
        self.stalled = ""

    async def run(self) -> None:
        """Until cancelled."""
        hints = await self._nc.subscribe(f"hint.{self._context}", cb=self._hinted)
        acks = await self._nc.subscribe(f"{self._inbox}.*", cb=self._acknowledged)
        delay = SHORTEST_S
        try:
            while True:
                before = self.position
                try:
                    await self._go_on()
                except Exception as error:
                    delay = SHORTEST_S if self.position > before else min(2 * delay, LONGEST_S)
                    self._note(error)
                    await asyncio.sleep(delay)
        finally:
            for subscription in (hints, acks):
                if not self._nc.is_closed:
                    await subscription.unsubscribe()

    def _note(self, error: Exception) -> None:
        text = f"{type(error).__name__}: {error}"
        if text != self.last_error:
            trace = None if isinstance(error, EXPECTED) else error
            log.warning("the relay of %s reads the stream's tail again: %s", self._context, text, exc_info=trace)
        self.last_error = text
        self.stalled = "incarnation" if isinstance(error, Stalled) else ""

    async def _go_on(self) -> None:
        """From the stream's tail on, until an error. Raises `Stalled` and `Refused`, and what the servers raise."""
        while True:
            tail = await self.read_tail()  # When idle too: a server that died may have lost what it had acknowledged.
            self.position = tail.position
            await self._check(tail)
            self.last_error = self.stalled = ""
            hinted = True
            while hinted:
                self._woken.clear()
                while page := await self._reader.page(tail.position, PAGE):
                    tail = await self._publish_page(page, tail)
                hinted = await self._hinted_in_time()

    async def _publish_page(self, page: Sequence[Recorded], tail: Tail) -> Tail:
        """Publishes what of a page is not in the stream yet, in batches; the tail behind it.

        Raises `Overtaken` only when race after race is lost without any progress, else as `_publish`.
        """
        lost = 0
        while left := [event for event in page if event.position > tail.position][: self._size]:
            before = tail.position
            try:
                tail = await self._publish(left, tail)
                self._size = min(2 * self._size, BATCH)
            except Overtaken:
                self._size = max(self._size // 2, SHORTEST_BATCH)
                self.overtaken += 1
                tail = await self.read_tail()
                lost = 0 if tail.position > before else lost + 1
                if lost == LOST_RACES or tail.position < before:
                    raise
            self.published += max(tail.position - before, 0)
            self.position = tail.position
        return tail

    async def _check(self, tail: Tail) -> None:
        head = await self._reader.head()
        if tail.position > head.position:
            raise Stalled(f"the stream has position {tail.position}, the store only {head.position}")
        if tail.position and tail.incarnation != head.incarnation:
            raise Stalled("the stream holds events of another incarnation of the store")

    async def _hinted_in_time(self) -> bool:
        try:
            async with asyncio.timeout(POLL_S):
                await self._woken.wait()
        except TimeoutError:
            return False
        return True

    async def read_tail(self) -> Tail:
        """The end of the stream as it is now."""
        return await self._tail.read()

    async def _publish(self, events: Sequence[Recorded], tail: Tail) -> Tail:
        """Publishes one batch and waits until all of it is stored; the tail behind it.

        Raises `Overtaken`, `Refused` or `Stalled`. A part from the beginning of the batch may be stored then.
        """
        for n, event in enumerate(events, 1):
            if event.position != tail.position + n:
                raise Refused(f"the store gave position {event.position} for {tail.position + n}")
            if tail.position and event.incarnation != tail.incarnation:
                raise Stalled("the store has become another incarnation")
        await self._publish_chained(events, tail.sequence)
        self._time(events)
        tail = Tail(tail.sequence + len(events), events[-1].position, events[-1].incarnation)
        self._tail.moved(tail)
        return tail

    def _time(self, events: Sequence[Recorded]) -> None:
        now = monotonic()
        for each, times in timed(events):
            self.hops.add("recorded_to_relayed", self._clock.since(each.recorded_at, now), times)

    async def _publish_chained(self, events: Sequence[Recorded], after: int) -> None:
        """Only the last message asks for an acknowledgement: none that it follows on can be missing then."""
        self._batch += 1
        last = after + len(events)
        self._ack = asyncio.get_running_loop().create_future()
        frames = [
            self._frame(event, after + n, chained=n > 0, acked=after + n + 1 == last) for n, event in enumerate(events)
        ]
        try:
            async with asyncio.timeout(ACK_WITHIN_S):
                await publish_frames(self._nc, frames)
                answer = await self._ack
        except TimeoutError:
            raise Refused(f"no acknowledgement within {ACK_WITHIN_S:.0f} s after sequence {after}") from None
        if answer.get("seq") != last:
            raise refusal(answer.get("error", answer))

    def _frame(self, event: Recorded, after: int, *, chained: bool, acked: bool) -> bytes:
        name = f"{self._inbox}.{self._batch}"
        headers = (
            f"{VERSION_HEADER}: {VERSION}\r\n{POSITION_HEADER}: {event.position}\r\n"
            f"{INCARNATION_HEADER}: {event.incarnation}\r\n{EXPECTED_SEQUENCE}: {after}\r\n"
            f"{MESSAGE_ID}: {name}.{after + 1}\r\n"
        )
        if chained:
            headers += f"{EXPECTED_ID}: {name}.{after}\r\n"
        subject = event_subject(event.context, event.type, event.stream)
        return frame(subject, headers.encode(), recorded_encoder.encode(event), name if acked else "")

    async def _acknowledged(self, message: Msg) -> None:
        """The callback for acks. Those of a batch given up are ignored."""
        if message.subject == f"{self._inbox}.{self._batch}" and not self._ack.done():
            self._ack.set_result(acknowledgement(message))

    async def _hinted(self, message: Msg) -> None:
        self.wake()

    def wake(self) -> None:
        """There is something new in the store."""
        self._woken.set()
