"""Taking a command in (protocol P5): at most one command for each id, one answer for all who send it again."""

import asyncio
import base64
from collections.abc import Awaitable, Callable

from msgspec import Struct

from common.bus.api import stored_headers
from common.bus.outgoing import Ack, OutcomeUnknown, Refused, StreamFull, TooLarge
from common.codec import CommandCodec
from common.messages import Rejected
from common.recorded import COMMAND_ID_HEADER, EXPECTED_VERSION_HEADER, VERSION, VERSION_HEADER, Receipt
from common.shell.admission import expected_version
from common.subjects import command_subject, parse_work
from gateway.backlog import Backlog
from gateway.link import Bus
from gateway.problems import Problem, later
from gateway.receipts import Receipts, Silent

ASK_S = 0.25
FIRST_LOOK_S = 0.5
KEPT = 16_384

Known = Receipt | None


class Submission(Struct, frozen=True):
    """A command, decoded and permitted. `hash` is there when it is `keyed` (the caller chose the id) or awaited.

    `expected` is the version that its stream must have, if its sender says so.
    """

    principal: str
    context: str
    key: str
    type: str
    id: str
    keyed: bool
    hash: str
    body: bytes
    codec: CommandCodec
    expected: int | None = None


class Intake:
    """Publishes commands. For a caller's own id it first looks whether that command is known already."""

    def __init__(self, bus: Bus, receipts: Receipts, backlog: Backlog) -> None:
        self._bus, self._receipts, self._backlog = bus, receipts, backlog
        self._sieve = Sieve()

    async def take(self, sent: Submission) -> Known:
        """Returns once the command is durable: its receipt if it was decided before, else None. Raises `Problem`."""
        if not sent.keyed:
            await self._publish(sent, "")
            return None
        return await self._sieve.once(sent, lambda: self._take_keyed(sent))

    async def take_and_wait(self, sent: Submission, seconds: float) -> Known:
        """As `take`, then waits for the receipt. A push may be lost, so the store is asked now and then, and last."""
        async with self._receipts.pushed(sent.principal, sent.context, sent.id, sent.hash) as push:
            known = await self.take(sent)
            if not known and sent.keyed:  # Sent before, it may have been decided before we listened.
                known = await self._known(sent)
            pause, left = FIRST_LOOK_S, seconds
            while not known and left > 0:
                known = await push(min(pause, left)) or await self._known(sent)
                left -= pause
                pause *= 2
            return known

    async def _take_keyed(self, sent: Submission) -> Known:
        if known := await self._known(sent):
            return known
        ack = await self._publish(sent, f"{sent.principal}:{sent.context}:{sent.id}")
        if ack.duplicate and not await self._is_stored(sent, ack.sequence):
            await self._publish(sent, "")
        return None

    async def _known(self, sent: Submission) -> Known:
        """The receipt, if its context answers in time. Raises a 422 problem when it is another command's."""
        try:
            receipt = await self._receipts.ask(sent.principal, sent.context, sent.id, ASK_S)
        except Silent:
            return None
        if receipt and receipt.hash != sent.hash:
            raise id_used(sent)
        return receipt

    async def _publish(self, sent: Submission, msg_id: str) -> Ack:
        if refusal := self._backlog.refusal(sent.context):
            raise refusal
        subject = command_subject(sent.principal, sent.context, sent.key, sent.type)
        headers = {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: sent.id}
        if sent.expected is not None:
            headers[EXPECTED_VERSION_HEADER] = str(sent.expected)
        try:
            return await self._bus.batches.publish(subject, headers, sent.body, msg_id)
        except StreamFull:
            raise later("full", "no more commands can be stored for now", context=sent.context) from None
        except Refused as refused:
            raise later("refused", f"the bus took no command: {refused}", context=sent.context) from None
        except TooLarge:
            raise Problem(413, "too-large", "the command is larger than the bus takes") from None
        except OutcomeUnknown:
            raise outcome_unknown(sent) from None

    async def _is_stored(self, sent: Submission, sequence: int) -> bool:
        """Whether the message that the broker calls a duplicate is this command. Raises a 422 problem for another body.

        Who can publish can use another's message id beforehand, so its word alone says nothing.
        """
        try:
            message = await self._bus.message(seq=sequence)
        except (TimeoutError, OSError):
            raise outcome_unknown(sent) from None
        if message is None:
            return False
        subject = parse_work(message["subject"])
        headers = stored_headers(message)
        found = (subject.principal, subject.context, headers.get(COMMAND_ID_HEADER), headers.get(VERSION_HEADER))
        if found != (sent.principal, sent.context, sent.id, VERSION):
            return False
        if (subject.type, subject.key) != (sent.type, sent.key):
            raise id_used(sent)
        try:
            stored = sent.codec.decode(subject.key, base64.b64decode(message.get("data", "")))
            digest = sent.codec.hash(stored, expected_version(headers))
        except Rejected:
            raise id_used(sent) from None
        if digest != sent.hash:
            raise id_used(sent)
        return True


class _Entry(Struct):
    hash: str
    answer: asyncio.Future[Known]


class Sieve:
    """The recent ids that callers chose, and what became of them: repeats wait for the first one's answer."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, str, str], _Entry] = {}

    async def once(self, sent: Submission, take: Callable[[], Awaitable[Known]]) -> Known:
        name = (sent.principal, sent.context, sent.id)
        if entry := self._entries.get(name):
            if entry.hash != sent.hash:
                raise id_used(sent)
            return await asyncio.shield(entry.answer)
        entry = self._entries[name] = _Entry(sent.hash, asyncio.get_running_loop().create_future())
        if len(self._entries) > KEPT:
            del self._entries[next(iter(self._entries))]
        try:
            known = await take()
        except BaseException as error:  # Also cancelled: whoever waits for the same answer must not wait for ever.
            self._entries.pop(name, None)
            entry.answer.set_exception(error if isinstance(error, Exception) else outcome_unknown(sent))
            entry.answer.exception()  # Perhaps nobody waits.
            raise
        entry.answer.set_result(known)
        return known


def id_used(sent: Submission) -> Problem:
    detail = f"the id {sent.id!r} already belongs to another command; an id names one command for ever"
    return Problem(422, "command-id-used", detail, command_id=sent.id, context=sent.context)


def outcome_unknown(sent: Submission) -> Problem:
    """504: it may or may not have been stored. Whoever repeats it under the same id is safe."""
    detail = "the command may or may not have been stored; ask for its receipt, or send it again with the same id"
    return Problem(
        504, "outcome-unknown", detail, (b"location", receipt_path(sent).encode()),
        command_id=sent.id, context=sent.context, receipt=receipt_path(sent),
    )  # fmt: skip


def receipt_path(sent: Submission) -> str:
    return f"/commands/{sent.context}/{sent.id}"
