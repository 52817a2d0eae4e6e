"""The doors to a context's own record, which its process reads: history and as-of."""

from collections.abc import Collection

import msgspec
import nats.errors

from common.messages import Query, Rejected
from common.principals import Principal, Principals
from common.recorded import STATUS_HEADER
from common.shell.answers import NOTHING, Ask
from common.shell.unanswered import Unanswered
from common.shell.wish import AFTER_HEADER, PREFER, Wish, known_contexts, wait_of, wished
from common.subjects import is_token, query_subject
from gateway.http import JSON, Answer, Asked, while_there
from gateway.identity import identified
from gateway.link import Bus
from gateway.parameters import parameters, strict
from gateway.problems import PROBLEM_JSON, Problem, later, refused_input, unanswered
from gateway.receipts import own_queries

FORWARD_S = 10.0
"""For the fold of a long stream: 100,000 events take a second or two."""
HANDED_ON = ("Retry-After", "Daybook-Position", "Daybook-Staleness-Ms")
NOW = "now"


class Streams:
    """Finds the stream that a path means, for the queries of one type."""

    def __init__(self, query: type[Query], ask: Ask, contexts: Collection[str]) -> None:
        self.query, self.context, self._ask, self._contexts = query, query.stream, ask, contexts

    async def of(self, asked: Asked, principal: Principal) -> str:
        """The stream's id. What is named otherwise is looked up in the read table. Raises 400, 404 and 503 problems."""
        try:
            wish = after_wish(asked)
            known_contexts(wish, self._contexts)
            if self.query.stream_field:
                return await self._looked_up(asked, principal, wish)
        except Rejected as rejected:
            raise refused_input(rejected) from None
        except Unanswered as why:
            raise unanswered(why) from None
        (stream,) = asked.path.values()
        if not is_token(stream):
            raise Problem(404, "not-found", "there is nothing of this name")
        return stream

    async def _looked_up(self, asked: Asked, principal: Principal, wish: Wish) -> str:
        found = await self._ask(strict(dict(asked.path), self.query), principal.name, wish)
        if found.value is None:
            raise Problem(404, "not-found", NOTHING)
        return str(getattr(found.value, self.query.stream_field))


class HistoryDoor:
    """The events of one stream, page by page, as its context's process reads them from the record."""

    def __init__(self, streams: Streams, principals: Principals, bus: Bus) -> None:
        self._streams, self._principals, self._bus = streams, principals, bus
        self._history = own_queries(streams.context).history

    async def __call__(self, asked: Asked) -> Answer:
        principal = identified(asked, self._principals)
        given = parameters({"stream": ""}, asked.query)
        stream = await self._streams.of(asked, principal)
        query = strict(given | {"stream": stream}, self._history)
        return await forward(self._bus, principal, self._streams.context, query, asked)


async def as_of(streams: Streams, bus: Bus, principal: Principal, asked: Asked, moment: str) -> Answer:
    """A stream as it was: at a version, at a time with its offset (RFC 3339), or now, folded from all of its events."""
    given: dict[str, str] = {}
    if moment != NOW:
        given["version" if moment.isascii() and moment.isdigit() else "time"] = moment
    given["stream"] = await streams.of(asked, principal)
    query: Query = strict(given, own_queries(streams.context).as_of)
    return await forward(bus, principal, streams.context, query, asked)


async def forward(bus: Bus, principal: Principal, context: str, query: Query, asked: Asked) -> Answer:
    """Asks the context's process in the principal's name, with what is wished, and hands its answer on."""
    subject, body = query_subject(principal.name, type(query).__name__), msgspec.json.encode(query)
    wish = wish_headers(asked)
    patience = FORWARD_S + (wait_of(wish.get(PREFER, "")) if wish else 0)
    try:
        asking = bus.nc.request(subject, body, timeout=patience, headers=wish or None)
        reply = await (while_there(asked.receive, asking) if wish else asking)
    except (nats.errors.Error, TimeoutError):
        raise no_answer(context) from None
    headers = reply.headers or {}
    status = int(headers.get(STATUS_HEADER, "200"))
    kept = [(name.lower().encode(), value.encode()) for name, value in headers.items() if name in HANDED_ON]
    return Answer(status, reply.data, (JSON if status < 400 else PROBLEM_JSON, *kept))


def wish_headers(asked: Asked) -> dict[str, str]:
    """The headers that say after what the answer must be, if any do."""
    named = {name: asked.headers.get(name.lower().encode()) for name in (AFTER_HEADER, PREFER)}
    if named[AFTER_HEADER] is None:
        return {}
    return {name: text.decode("latin-1") for name, text in named.items() if text is not None}


def after_wish(asked: Asked) -> Wish:
    """What these headers wish. Raises `Rejected`."""
    headers = wish_headers(asked)
    return wished(headers.get(AFTER_HEADER), None, headers.get(PREFER, ""))


def no_answer(context: str) -> Problem:
    return later("no-answer", f"the process of the context {context} does not answer", context=context)
