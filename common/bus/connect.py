"""A connection to NATS that never gives up."""

import logging
from collections import Counter

import nats
from nats.aio.client import Client

from common.bus.straight import reading_straight
from common.bus.tolerance import tolerant
from common.config import Settings

log = logging.getLogger(__name__)

tolerant()
reading_straight()

RECONNECT_WAIT_S = 0.25
PING_EVERY_S = 5


class BusErrors:
    """What went wrong on a connection: counts by kind, and the last words of the client.

    Kind `denied` is a publish or subscription that our permissions refuse: its caller sees only a timeout.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.last = ""

    async def note(self, error: Exception) -> None:
        """The client's error callback. It must not raise: that would end the client's read loop in silence."""
        text = str(error).removeprefix("nats: ") or type(error).__name__
        kind = "denied" if "permissions violation" in text.lower() else type(error).__name__
        self.counts[kind] += 1
        if text != self.last:  # A server that is away repeats itself four times a second.
            log.warning("nats: %s", text)
        self.last = text


async def connect(settings: Settings, user: str, errors: BusErrors | None = None) -> Client:
    """Connect as `user`, waiting as long as it takes; bound it with `asyncio.timeout` where that is too long.

    A frozen server is noticed after two pings without answer. The user's inboxes lie under `_INBOX.<user>`, the only
    place where our permissions let its answers arrive. Raises `ConfigError` when the user's password is not known.
    """
    return await nats.connect(
        settings.nats_url,
        user=user,
        password=settings.password(user),
        name=user,
        inbox_prefix=f"_INBOX.{user}".encode(),
        error_cb=(errors or BusErrors()).note,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT_S,
        connect_timeout=2,
        ping_interval=PING_EVERY_S,
        max_outstanding_pings=2,
        # The client would wait for ever for a server that has stopped reading.
        flush_timeout=PING_EVERY_S,
        drain_timeout=2,
    )
