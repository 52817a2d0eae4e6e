"""The doors for queries from the read tables, and for receipts."""

from collections.abc import Iterable

import msgspec

from common.dispatch import QueryDispatcher
from common.messages import Query, Rejected
from common.personal import encode_personal
from common.principals import Principals
from common.subjects import is_token
from gateway.http import JSON, Answer, Asked
from gateway.identity import identified
from gateway.link import Bus, ReadDatabase
from gateway.parameters import parameters, strict
from gateway.problems import Problem, refused_input
from gateway.receipts import Receipts, Silent
from gateway.record_door import as_of, forward, no_answer

RECEIPT_S = 2.0

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
