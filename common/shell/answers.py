"""Answers queries that come over NATS: request and reply, on `query.<principal>.<QueryType>` (design section 8).

The asker's name is in the subject, where the server has checked it. An answer goes to the asker's account or inbox, or
to the gateway, which asks for others; a reply subject that lies elsewhere could steer our words into somebody's stream.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
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
from common.recorded import STATUS_HEADER, VERSION, VERSION_HEADER
from common.shell.patience import AWAY
from common.shell.reading import Found
from common.shell.unanswered import RETRY_AFTER_S, Unanswered
from common.shell.wish import AFTER_HEADER, PLAIN, PREFER, UNTIL_HEADER, Wish, wished
from common.subjects import APART

log = logging.getLogger(__name__)

USER = "answers"
GATEWAY = "gateway"
RETRY_HEADER = "Retry-After"
NOTHING = "there is nothing of this name, or it is not visible yet"
WORKERS = 16
"""Queries of one type that are answered at the same time, at most."""

Ask = Callable[[Query, str, Wish], Coroutine[Any, Any, Found]]
"""Answers a principal's query as it is wished. Raises `Rejected`, `Unanswered`, and what a database away raises."""
Connect = Callable[[str], AbstractAsyncContextManager[Any]]
"""What a handler asks, opened for one query of a principal: a database connection, or whatever it takes."""
Freshness = Callable[[type[Query], Any], Awaitable[Mapping[str, str]]]
"""The headers that say how fresh an answer is; asked before its rows are read, so that those are as fresh at least."""
Arrive = Callable[[str, Wish], Awaitable[None]]
"""Waits until what a principal wishes to see can be seen. Raises `Unanswered` when that is not in time."""


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


async def at_once(principal: str, wish: Wish) -> None:
    """For who shows everything at once."""


def asked_directly(
    dispatcher: QueryDispatcher, connect: Connect, freshness: Freshness = unsaid, arrive: Arrive = at_once
) -> Ask:
    """Asks each query with a connection of its own."""

    async def ask(query: Query, principal: str, wish: Wish) -> Found:
        await arrive(principal, wish)
        async with connect(principal) as connection:
            headers = await freshness(type(query), connection)
            return Found(await dispatcher.dispatch(query, connection), headers)

    return ask


class Answers:
    """Answers queries of these types."""

    def __init__(self, queries: Iterable[type[Query]], ask: Ask) -> None:
        self.queries = tuple(queries)
        self._ask = ask
        self._decoders = {query: msgspec.json.Decoder(query) for query in self.queries}
        self._waiting: set[asyncio.Task[None]] = set()
        self._trouble = ""

    async def answer(
        self, query: type[Query], principal: str, body: bytes, headers: Mapping[str, str] | None = None
    ) -> Answer:
        """The answer to one question. Never raises: what goes wrong is an answer too, as an RFC 9457 problem."""
        try:
            wish = wish_of(headers)
            found = await self._ask(strictly(self._decoders[query], body or b"{}"), principal, wish)
        except Rejected as rejected:
            return refusal(rejected)
        except Unanswered as why:
            retry = {RETRY_HEADER: str(RETRY_AFTER_S)} if why.status == 503 else {}
            return problem(why.status, why.code, why.detail, retry, **why.members)
        except AWAY as error:
            self._note(f"{type(error).__name__}: {error}")
            return problem(503, "database-away", "the database cannot be reached; ask again", {RETRY_HEADER: "5"})
        except Exception:
            log.exception("%s failed", query.__name__)
            return problem(500, "internal", "the query failed for a reason of ours; it has been noted")
        self._trouble = ""
        if found.value is None:
            return problem(404, "not-found", NOTHING, found.headers)
        return Answer(200, answer_encoder.encode(found.value), found.headers)

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
            if not message.reply.startswith((APART, f"_INBOX.{principal}.", f"_INBOX.{GATEWAY}.")):
                return
            answering = self._respond(broker, query, principal, message)
            if WISHES & lowered(message.headers).keys():
                self._aside(answering)  # Who may wait takes no turn from those who do not.
            else:
                await answering

        return respond

    async def _respond(self, broker: NatsBroker, query: type[Query], principal: str, message: Any) -> None:
        answer = await self.answer(query, principal, message.data, message.headers)
        headers = {VERSION_HEADER: VERSION, STATUS_HEADER: str(answer.status), **answer.headers}
        try:
            await broker.publish(answer.body, message.reply, headers=headers)
        except nats.errors.Error as error:
            log.warning("an answer to %s was lost: %s", principal, error)

    def _note(self, trouble: str) -> None:
        if trouble != self._trouble:  # Said once, not at each of many questions.
            log.warning("queries cannot be answered now: %s", trouble)
        self._trouble = trouble

    def _aside(self, answering: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(answering)
        self._waiting.add(task)
        task.add_done_callback(self._waiting.discard)


WISHES = {AFTER_HEADER.lower(), UNTIL_HEADER.lower()}


def wish_of(headers: Mapping[str, str] | None) -> Wish:
    """The wish that a request states, in whatever case. Raises `Rejected`."""
    if not headers:
        return PLAIN
    said = lowered(headers)
    return wished(said.get(AFTER_HEADER.lower()), said.get(UNTIL_HEADER.lower()), said.get(PREFER.lower(), ""))


def lowered(headers: Mapping[str, str] | None) -> dict[str, str]:
    """Headers by lower-case name; what is said twice, in another case, is a list as in HTTP."""
    found: dict[str, str] = {}
    for name, value in (headers or {}).items():
        key = name.lower()
        found[key] = f"{found[key]}, {value}" if key in found else value
    return found


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
