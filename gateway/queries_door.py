"""The doors for queries from the read tables, and for receipts."""

from collections.abc import Awaitable, Callable, Collection, Iterable

import msgspec

from common.messages import Query, Rejected
from common.personal import encode_personal
from common.principals import Principal, Principals
from common.recorded import POSITION_HEADER
from common.shell.answers import NOTHING, Ask
from common.shell.reading import Found
from common.shell.unanswered import Unanswered
from common.shell.wish import PLAIN, Wish, wished
from common.subjects import is_token
from gateway.http import JSON, Answer, Asked, Header, Stream, while_there
from gateway.identity import identified
from gateway.link import Bus
from gateway.parameters import parameters, seconds, strict
from gateway.problems import Problem, refused_input, unanswered
from gateway.receipts import Receipts, Silent
from gateway.record_door import Streams, as_of, no_answer
from gateway.watching import EVENT_STREAM

RECEIPT_S = 2.0
Watch = Callable[[Query, Principal, frozenset[str]], Awaitable[Stream]]
"""Tells a principal what there is and each change, until one of these states. Raises as `Ask` does."""
NOT_SHARED: Header = (b"cache-control", b"private, no-cache")
"""No cache may keep an answer from who asks for another one, with `Daybook-After` or another key."""

_encoder = msgspec.json.Encoder(enc_hook=encode_personal)


class QueryDoor:
    """Answers one type of query, from the read tables; with `as_of`, from the record."""

    def __init__(
        self, query: type[Query], ask: Ask, contexts: Collection[str], principals: Principals, bus: Bus,
        watch: Watch | None = None,
    ) -> None:  # fmt: skip
        self._query, self._ask, self._principals, self._bus, self._watch = query, ask, principals, bus, watch
        self._streams = Streams(query, ask, contexts)

    async def __call__(self, asked: Asked) -> Answer | Stream:
        principal = identified(asked, self._principals)
        given = parameters(asked.path, asked.query)
        moment = given.pop("as_of", None) if self._query.stream else None
        if moment is not None:
            strict(given, self._query)
            return await as_of(self._streams, self._bus, principal, asked, moment)
        try:
            refuse_until(given, self._query)
            wish = wish_of(asked, given if self._query.awaits else {})
            if self._watch and EVENT_STREAM in asked.headers.get(b"accept", b""):
                return await self._watched(self._watch, strict(given, self._query), principal, wish)
            answering = self._ask(strict(given, self._query), principal.name, wish)
            found = await (answering if wish.plain else while_there(asked.receive, answering))
        except Rejected as rejected:
            raise refused_input(rejected) from None
        except Unanswered as why:
            raise unanswered(why) from None
        return given_back(found, asked.headers.get(b"if-none-match"))

    async def _watched(self, watch: Watch, query: Query, principal: Principal, wish: Wish) -> Stream:
        """Told from then on when what is wished to be seen can be seen."""
        if wish.after:
            await self._ask(query, principal.name, msgspec.structs.replace(wish, until=frozenset()))
        return await watch(query, principal, wish.until)


def refuse_until(given: dict[str, str], query: type[Query]) -> None:
    """Raises `Rejected` for a wish that this query knows nothing of."""
    if "until" in given and not query.awaits and "until" not in query.__struct_fields__:
        message = f"{query.__name__} has no state to wait for; `Daybook-After` waits for a command - at `$.until`"
        raise Rejected("malformed", message)


def wish_of(asked: Asked, given: dict[str, str]) -> Wish:
    """What is wished by headers and by `until` and `wait`, which are taken out of the parameters. Raises `Rejected`."""
    after, prefer = asked.headers.get(b"daybook-after"), asked.headers.get(b"prefer", b"")
    until, wait = given.pop("until", None), given.pop("wait", None)
    if after is None and until is None and wait is None:
        return PLAIN
    wish = wished(None if after is None else after.decode("latin-1"), until, prefer.decode("latin-1"))
    return wish if wait is None else msgspec.structs.replace(wish, wait_s=seconds(wait))


def given_back(found: Found, known: bytes | None) -> Answer:
    """The answer, or 304 when the asker knows this version already. Raises a 404 problem that says how fresh it is."""
    headers: list[Header] = [(name.lower().encode(), value.encode()) for name, value in found.headers.items()]
    headers.append(NOT_SHARED)
    if found.value is None:
        raise Problem(404, "not-found", NOTHING, *headers)
    if known is not None and of_one_record(found) and is_known(found.headers.get("ETag"), known):
        return Answer(304, b"", tuple(headers))
    return Answer(200, _encoder.encode(found.value), (JSON, *headers))


def of_one_record(found: Found) -> bool:
    """Whether the tag, a stream's version, stands for all of the answer: a product's stock changes without it."""
    return len(found.headers.get(POSITION_HEADER, "").split(", ")) == 1


def is_known(tag: str | None, known: bytes) -> bool:
    """Whether `If-None-Match` names what there is (RFC 9110, 13.1.2: compared weakly)."""
    tags = [each.strip().removeprefix(b"W/") for each in known.split(b",")]
    return b"*" in tags or (tag is not None and tag.encode() in tags)


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
