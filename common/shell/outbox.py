"""What a worker tells once it has written: receipts to who asked, a hint to the relay. Both may be lost."""

import logging
from collections.abc import Awaitable, Sequence

import msgspec
import nats.errors
from nats.aio.client import Client

from common.bus.frames import frame, header, publish_frames
from common.recorded import VERSION, VERSION_HEADER, Receipt, Recorded
from common.shell.handover import Handover
from common.shell.telling import Outbox
from common.subjects import receipt_subject

log = logging.getLogger(__name__)

_receipt_encoder = msgspec.json.Encoder()
_version = header(VERSION_HEADER, VERSION)


def bus_outbox(nc: Client, context: str, handover: Handover, deaf: frozenset[str] = frozenset()) -> Outbox:
    """An outbox on the bus. It never fails: who missed something asks the store (protocol P5)."""

    async def answered(receipts: Sequence[Receipt]) -> None:
        frames = [
            frame(
                receipt_subject(receipt.principal, context, receipt.command_id),
                _version,
                _receipt_encoder.encode(receipt),
            )
            for receipt in receipts
        ]
        await quietly(publish_frames(nc, frames))

    async def recorded(events: Sequence[Recorded]) -> None:
        handover.put(events)
        if not handover.wake:  # The relay runs in another process.
            await quietly(publish_frames(nc, [_hint]))

    _hint = frame(f"hint.{context}", _version, b"")

    return Outbox(answered, recorded, deaf)


async def quietly(publishing: Awaitable[None]) -> None:
    """Publishes, or notes why not."""
    try:
        await publishing
    except nats.errors.Error as error:
        log.info("not told: %s", error or type(error).__name__)
