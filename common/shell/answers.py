"""Answers queries that come over NATS: request and reply, on `query.<principal>.<QueryType>` (design section 8).

The asker's name is in the subject, where the server has checked it. An answer goes to an inbox of that asker, or of the
gateway, which asks for others; a reply subject that lies elsewhere could steer our words into somebody's stream.
"""

import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import AbstractAsyncContextManager
from http import HTTPStatus
from typing import Any

import msgspec
import nats.errors
from faststream import FastStream
from faststream.nats import NatsBroker, NatsMessage
from faststream.security import SASLPlaintext
from msgspec import Struct
from nats.aio.msg import Msg

from common.bus.connect import PING_EVERY_S, RECONNECT_WAIT_S, BusErrors
from common.codec import strictly
from common.config import Settings
from common.dispatch import QueryDispatcher
from common.messages import Query, Rejected
from common.personal import Personal, encode_personal
from common.recorded import VERSION, VERSION_HEADER
from common.shell.patience import AWAY

log = logging.getLogger(__name__)

USER = "answers"
GATEWAY = "gateway"
STATUS_HEADER = "Daybook-Status"
RETRY_HEADER = "Retry-After"
WORKERS = 16
"""Queries of one type that are answered at the same time, at most."""

Connect = Callable[[str], AbstractAsyncContextManager[Any]]
"""What a handler asks, opened for one query of a principal: a database connection, or whatever it takes."""
Freshness = Callable[[type[Query], Any], Awaitable[Mapping[str, str]]]
"""The headers that say how fresh an answer is; asked before its rows are read, so that those are as fresh at least."""


class Answer(Struct, frozen=True):
    """What is sent back: an HTTP status, JSON, headers."""

    status: int
    body: bytes
    headers: Mapping[str, str] = {}


def shown(value: Any) -> Any:
    """msgspec's hook for answers: personal data that was opened is shown plainly, sealed data as it rests."""
    if isinstance(value, Personal) and value.value is not None:
        return value.value
    return encode_personal(value)


answer_encoder = msgspec.json.Encoder(enc_hook=shown)


async def unsaid(query: type[Query], connection: Any) -> Mapping[str, str]:
    return {}


class Answers:
    """Answers the queries that a dispatcher knows, each with a connection of its own."""

    def __init__(self, dispatcher: QueryDispatcher, connect: Connect, freshness: Freshness = unsaid) -> None:
        self.queries: Iterable[type[Query]] = dispatcher.queries
        self._dispatcher, self._connect, self._freshness = dispatcher, connect, freshness
        self._decoders = {query: msgspec.json.Decoder(query) for query in dispatcher.queries}

    async def answer(self, query: type[Query], principal: str, body: bytes) -> Answer:
        """The answer to one question. Never raises: what goes wrong is an answer too, as an RFC 9457 problem."""
        try:
            asked = strictly(self._decoders[query], body or b"{}")
            async with self._connect(principal) as connection:
                headers = await self._freshness(query, connection)
                found = await self._dispatcher.dispatch(asked, connection)
            if found is None:
                return problem(404, "not-found", "there is nothing of this name, or it is not visible yet")
            return Answer(200, answer_encoder.encode(found), headers)
        except Rejected as rejected:
            return refusal(rejected)
        except AWAY as error:
            log.warning("%s cannot be answered now: %s: %s", query.__name__, type(error).__name__, error)
            return problem(503, "database-away", "the database cannot be reached; ask again", {RETRY_HEADER: "5"})
        except Exception:
            log.exception("%s failed", query.__name__)
            return problem(500, "internal", "the query failed for a reason of ours; it has been noted")

    def subscribe(self, broker: NatsBroker) -> None:
        """Answers on the broker from its start on, shared with other processes that do the same."""
        for query in self.queries:
            broker.subscriber(
                f"query.*.{query.__name__}",
                queue=USER,
                max_workers=WORKERS,
                decoder=raw,
                no_reply=True,
            )(self._responder(broker, query))

    def _responder(self, broker: NatsBroker, query: type[Query]) -> Callable[[Any], Awaitable[None]]:
        async def respond(message: Any) -> None:
            principal = message.subject.split(".")[1]
            if not message.reply.startswith((f"_INBOX.{principal}.", f"_INBOX.{GATEWAY}.")):
                return
            answer = await self.answer(query, principal, message.data)
            headers = {VERSION_HEADER: VERSION, STATUS_HEADER: str(answer.status), **answer.headers}
            try:
                await broker.publish(answer.body, message.reply, headers=headers)
            except nats.errors.Error as error:
                log.warning("an answer to %s was lost: %s", principal, error)

        return respond


def answers_app(settings: Settings, *answers: Answers) -> FastStream:
    """An application that answers as the NATS user `answers`; its `start` waits for the bus as long as it takes."""
    broker = NatsBroker(
        settings.nats_url,
        security=SASLPlaintext(USER, settings.password(USER)),
        name=USER,
        inbox_prefix=f"_INBOX.{USER}",
        error_cb=BusErrors().note,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type]  # any number of seconds
        connect_timeout=2,
        ping_interval=PING_EVERY_S,
        flush_timeout=PING_EVERY_S,
        drain_timeout=2,
        graceful_timeout=2.0,
        apply_types=False,  # The handlers decode strictly themselves.
        logger=None,
    )
    for each in answers:
        each.subscribe(broker)
    return FastStream(broker, logger=None)


async def raw(message: NatsMessage) -> Msg:
    """The decoder that leaves everything as it came."""
    return message.raw_message


def refusal(rejected: Rejected) -> Answer:
    """What a door says to input that breaks a rule; with the field, where the rule names one."""
    rule, _, field = str(rejected).partition(" - at ")
    members = {"rule": rule} | ({"field": field.strip("`")} if field else {})
    return problem(413 if rejected.code == "too-large" else 400, rejected.code, str(rejected), {}, **members)


def problem(status: int, code: str, detail: str, headers: Mapping[str, str] | None = None, **members: Any) -> Answer:
    """An RFC 9457 problem."""
    title = HTTPStatus(status).phrase
    body = {"type": f"/problems/{code}", "title": title, "status": status, "code": code, "detail": detail, **members}
    return Answer(status, msgspec.json.encode(body), headers or {})
