"""The doors for queries: read tables are asked here, a context's own record by its process."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from typing import Any
from urllib.parse import parse_qsl

import msgspec
import nats.errors
from msgspec import inspect

from common.client import STATUS_HEADER
from common.codec import path_of_nul
from common.dispatch import QueryDispatcher
from common.messages import Query, Rejected
from common.personal import encode_personal
from common.principals import Principal, Principals
from common.subjects import is_token, query_subject
from gateway.http import JSON, Answer, Asked
from gateway.identity import identified
from gateway.link import Bus, ReadDatabase
from gateway.problems import PROBLEM_JSON, Problem, later, refused_input
from gateway.receipts import Receipts, Silent, own_queries

FORWARD_S = 5.0
RECEIPT_S = 2.0
MOST_PARAMETERS = 32
INTEGER = re.compile(r"-?(0|[1-9][0-9]{0,18})")
HANDED_ON = ("Retry-After", "Daybook-Position", "Daybook-Staleness-Ms")

_encoder = msgspec.json.Encoder(enc_hook=encode_personal)


class QueryDoor:
    """Answers one type of query, from the read tables; with `as_of`, from the record."""

    def __init__(
        self, query: type[Query], dispatcher: QueryDispatcher, principals: Principals, reads: ReadDatabase, bus: Bus
    ) -> None:
        self._query, self._dispatcher = query, dispatcher
        self._principals, self._reads, self._bus = principals, reads, bus

    async def __call__(self, asked: Asked) -> Answer:
        principal = identified(asked, self._principals)
        given = parameters(asked.path, asked.query)
        moment = given.pop("as_of", None) if self._query.stream else None
        query = strict(given, self._query)
        if moment is not None:
            return await forward(self._bus, principal, self._query.stream, as_of(self._query.stream, asked, moment))
        async with self._reads.connection() as connection:
            try:
                found = await self._dispatcher.dispatch(query, connection)
            except Rejected as rejected:
                raise refused_input(rejected) from None
        if found is None:
            raise Problem(404, "not-found", "there is nothing of this name, or it is not visible yet")
        return Answer(200, _encoder.encode(found))


class HistoryDoor:
    """The events of one stream, page by page, as its context's process reads them from the record."""

    def __init__(self, context: str, principals: Principals, bus: Bus) -> None:
        self._context, self._principals, self._bus = context, principals, bus
        self._history = own_queries(context)[0]

    async def __call__(self, asked: Asked) -> Answer:
        principal = identified(asked, self._principals)
        query = strict(parameters({"stream": stream_of(asked)}, asked.query), self._history)
        return await forward(self._bus, principal, self._context, query)


class ReceiptDoor:
    """The receipt of a command that the asker has sent."""

    def __init__(self, contexts: Iterable[str], principals: Principals, receipts: Receipts) -> None:
        self._contexts, self._principals, self._receipts = frozenset(contexts), principals, receipts

    async def __call__(self, asked: Asked) -> Answer:
        principal = identified(asked, self._principals)
        context, command_id = asked.path["context"], asked.path["command_id"]
        if context not in self._contexts or not is_token(command_id):
            raise Problem(404, "not-found", "there is no such context, or this cannot be a command id")
        try:
            receipt = await self._receipts.ask(principal.name, context, command_id, RECEIPT_S)
        except Silent:
            raise no_answer(context) from None
        if receipt is None:
            body = {"command_id": command_id, "context": context, "state": "undecided"}
            return Answer(202, msgspec.json.encode(body), (JSON, (b"retry-after", b"1")))
        return Answer(200, msgspec.json.encode(receipt))


async def forward(bus: Bus, principal: Principal, context: str, query: Query) -> Answer:
    """Asks the context's process in the principal's name and hands its answer on."""
    subject = query_subject(principal.name, type(query).__name__)
    try:
        reply = await bus.nc.request(subject, msgspec.json.encode(query), timeout=FORWARD_S)
    except (nats.errors.Error, TimeoutError):
        raise no_answer(context) from None
    headers = reply.headers or {}
    status = int(headers.get(STATUS_HEADER, "200"))
    kept = [(name.lower().encode(), value.encode()) for name, value in headers.items() if name in HANDED_ON]
    return Answer(status, reply.data, (JSON if status < 400 else PROBLEM_JSON, *kept))


def no_answer(context: str) -> Problem:
    return later("no-answer", f"the process of the context {context} does not answer", context=context)


def parameters(path: Mapping[str, str], query: bytes) -> dict[str, str]:
    """Path and query parameters together. Raises a 400 problem for what is repeated or not UTF-8."""
    found = dict(path)
    try:
        text = query.decode("ascii")
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=MOST_PARAMETERS)
    except (UnicodeDecodeError, ValueError):
        raise refused_input(Rejected("malformed", "the query string is not UTF-8, or too long")) from None
    for name, value in pairs:
        if name in found:
            raise refused_input(Rejected("malformed", f"given twice - at `{name}`"))
        found[name] = value
    return found


def strict(given: dict[str, str], kind: Any) -> Any:
    """The parameters as a struct. Raises a 400 problem that names the parameter and the rule."""
    if path := path_of_nul(given, "$"):
        raise refused_input(Rejected("malformed", f"the character U+0000 is not taken - at `{path}`"))
    literal = literals(kind)
    values = {name: literal[name](text) if name in literal else text for name, text in given.items()}
    try:
        return msgspec.convert(values, kind)
    except msgspec.ValidationError as error:
        raise refused_input(Rejected("malformed", str(error))) from None


@cache
def literals(kind: Any) -> dict[str, Callable[[str], Any]]:
    """How to read the fields that are no text, by name. msgspec's own lax reading would take "1.0" for an integer."""
    read: dict[type[Any], Callable[[str], Any]] = {inspect.IntType: integer, inspect.BoolType: boolean}
    found: dict[str, Callable[[str], Any]] = {}
    for field in msgspec.structs.fields(kind):
        info = inspect.type_info(field.type)
        for each in info.types if isinstance(info, inspect.UnionType) else (info,):
            plain = each.type if isinstance(each, inspect.Metadata) else each
            if type(plain) in read:
                found[field.encode_name] = read[type(plain)]
    return found


def integer(text: str) -> int | str:
    """The integer that is written so in JSON; any other text stays, and is then refused."""
    return int(text) if INTEGER.fullmatch(text) else text


def boolean(text: str) -> bool | str:
    return {"true": True, "false": False}.get(text, text)


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
