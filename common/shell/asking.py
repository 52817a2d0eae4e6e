"""Asking in a context's own name: commands that nobody sent, but that an event or a deadline calls for."""

from collections.abc import Iterator, Sequence

import nats.errors
from nats.aio.client import Client

from common.bus.batches import FEW, MAX_BATCH_BYTES, Batches
from common.bus.outgoing import Message, OutcomeUnknown, Refused, StreamFull
from common.client import body_of
from common.codec import MAX_BODY, command_key
from common.context import Context, home_of
from common.messages import Command
from common.recorded import CAUSATION_HEADER, COMMAND_ID_HEADER, CORRELATION_HEADER, VERSION, VERSION_HEADER
from common.shell.patience import AWAY
from common.subjects import command_subject, is_token

PASSING = (*AWAY, nats.errors.Error, OutcomeUnknown, StreamFull, Refused)
"""What keeps from asking for a while, and passes."""
PART = 256
PART_BYTES = MAX_BATCH_BYTES // 2


class Asking:
    """Publishes commands as the principal of a context's reactions.

    For one caller at a time: then, of the commands of one key, none is stored before one that was to go before it.
    """

    def __init__(self, nc: Client, context: Context) -> None:
        self._context = context
        self._batches = Batches(nc, size=PART)

    def message(self, command: Command, command_id: str, correlation_id: str, causation_id: str) -> Message:
        """A command on its way. Raises ValueError or TypeError for one that cannot be sent, whoever made it."""
        name, key, body = type(command).__name__, command_key(command), body_of(command)
        if not is_token(key):
            raise ValueError(f"{name}: the key {key!r} must be 1 to 64 letters, digits, '_' or '-'")
        if len(body) > MAX_BODY:
            raise ValueError(f"{name}: the body has {len(body)} bytes; at most {MAX_BODY} are taken")
        headers = {
            VERSION_HEADER: VERSION,
            COMMAND_ID_HEADER: command_id,
            CORRELATION_HEADER: correlation_id,
            CAUSATION_HEADER: causation_id,
        }
        home = home_of(self._context, type(command))
        return Message(command_subject(self._context.name, home, key, name), headers, body)

    async def publish(self, messages: Sequence[Message]) -> None:
        """Stores them durably, in their order. Raises `StreamFull`, `Refused` and `OutcomeUnknown`; then some may be
        stored, and all should be published again: the worker knows those that it has settled by their ids."""
        for part in in_turns(messages):
            await self._batches.publish_all(part)


def in_turns(messages: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """Parts to publish one after the other, so that no command is stored that should come after one that failed.

    Many are stored as one atomic batch, or none of them. Few go one by one, which is quicker, and then no two of a key
    together.
    """
    part: list[Message] = []
    size = 0
    for message in messages:
        part.append(message)
        size += len(message.body)
        if len(part) == PART or size >= PART_BYTES:
            yield from together(part)
            part, size = [], 0
    yield from together(part)


def together(part: Sequence[Message]) -> Iterator[Sequence[Message]]:
    """The part as it is, or each message of it by itself."""
    keys = {message.subject.rpartition(".")[0] for message in part}
    if len(part) <= FEW and len(keys) < len(part):
        yield from ([message] for message in part)
    elif part:
        yield part
