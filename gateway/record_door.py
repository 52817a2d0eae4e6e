"""The doors to a context's own record, which its process reads: history and as-of."""

import msgspec
import nats.errors

from common.messages import Query
from common.principals import Principal, Principals
from common.recorded import STATUS_HEADER
from common.shell.wish import AFTER_HEADER, PREFER, wait_of
from common.subjects import is_token, query_subject
from gateway.http import JSON, Answer, Asked
from gateway.identity import identified
from gateway.link import Bus
from gateway.parameters import parameters, strict
from gateway.problems import PROBLEM_JSON, Problem, later
from gateway.receipts import own_queries

FORWARD_S = 5.0
HANDED_ON = ("Retry-After", "Daybook-Position", "Daybook-Staleness-Ms")


class HistoryDoor:
    """The events of one stream, page by page, as its context's process reads them from the record."""

    def __init__(self, context: str, principals: Principals, bus: Bus) -> None:
        self._context, self._principals, self._bus = context, principals, bus
        self._history = own_queries(context)[0]

    async def __call__(self, asked: Asked) -> Answer:
        principal = identified(asked, self._principals)
        query = strict(parameters({"stream": stream_of(asked)}, asked.query), self._history)
        return await forward(self._bus, principal, self._context, query, asked)


async def forward(bus: Bus, principal: Principal, context: str, query: Query, asked: Asked) -> Answer:
    """Asks the context's process in the principal's name, with what is wished, and hands its answer on."""
    subject, body = query_subject(principal.name, type(query).__name__), msgspec.json.encode(query)
    wish = wishes(asked)
    patience = FORWARD_S + (wait_of(wish.get(PREFER, "")) if wish else 0)
    try:
        reply = await bus.nc.request(subject, body, timeout=patience, headers=wish or None)
    except (nats.errors.Error, TimeoutError):
        raise no_answer(context) from None
    headers = reply.headers or {}
    status = int(headers.get(STATUS_HEADER, "200"))
    kept = [(name.lower().encode(), value.encode()) for name, value in headers.items() if name in HANDED_ON]
    return Answer(status, reply.data, (JSON if status < 400 else PROBLEM_JSON, *kept))


def wishes(asked: Asked) -> dict[str, str]:
    """The headers that say after what the answer must be, if any do."""
    named = {name: asked.headers.get(name.lower().encode()) for name in (AFTER_HEADER, PREFER)}
    if named[AFTER_HEADER] is None:
        return {}
    return {name: text.decode("latin-1") for name, text in named.items() if text is not None}


def no_answer(context: str) -> Problem:
    return later("no-answer", f"the process of the context {context} does not answer", context=context)


def stream_of(asked: Asked) -> str:
    """The stream that the path names, by its one parameter."""
    (stream,) = asked.path.values()
    if not is_token(stream):
        raise Problem(404, "not-found", "there is nothing of this name")
    return stream


def as_of(context: str, asked: Asked, moment: str) -> Query:
    """The question for a stream at a moment: a version, or a time with its offset (RFC 3339)."""
    name = "version" if moment.isascii() and moment.isdigit() else "time"
    query: Query = strict({"stream": stream_of(asked), name: moment}, own_queries(context)[1])
    return query
