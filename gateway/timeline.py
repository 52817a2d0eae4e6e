"""The door to the timeline of a stream: what every context knows of it, put together."""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec

from common.messages import Rejected
from common.principals import Principals
from common.recorded import POSITION_HEADER
from common.shell.answers import NOTHING
from common.shell.timeline import gather
from common.shell.traces import TracesAnswer
from common.shell.wish import STALENESS_HEADER, UNKNOWN
from gateway.http import JSON, Answer, Asked
from gateway.identity import identified
from gateway.link import Bus
from gateway.parameters import parameters
from gateway.problems import Problem, refused_input
from gateway.receipts import own_queries
from gateway.record_door import Streams, forward, no_answer

POSITION, STALENESS = POSITION_HEADER.lower().encode(), STALENESS_HEADER.lower().encode()


class TimelineDoor:
    """Every command and event that a stream has led to, or goes back to, in causal order."""

    def __init__(self, streams: Streams, contexts: Collection[str], principals: Principals, bus: Bus) -> None:
        self._streams, self._contexts = streams, contexts
        self._principals, self._bus = principals, bus

    async def __call__(self, asked: Asked) -> Answer:
        principal = identified(asked, self._principals)
        if extra := sorted(parameters({}, asked.query)):
            raise refused_input(Rejected("malformed", f"there is no such parameter - at `{extra[0]}`"))
        stream = await self._streams.of(asked, principal)

        places: dict[str, str] = {}

        async def ask(context: str, fields: Mapping[str, Any]) -> TracesAnswer | None:
            query = msgspec.convert(fields, own_queries(context).traces)
            try:
                answer = await forward(self._bus, principal, context, query, asked)
            except Problem:
                return None
            if answer.status >= 400:
                raise Refused(answer)
            places.setdefault(context, dict(answer.headers).get(POSITION, b"").decode())
            return msgspec.json.decode(answer.body, type=TracesAnswer)

        try:
            found = await gather(ask, self._contexts, self._streams.context, stream)
        except Refused as refused:
            return refused.answer
        if found is None:
            raise Problem(404, "not-found", NOTHING)
        if not found.commands:
            raise no_answer(self._streams.context)
        position = ", ".join(place for _, place in sorted(places.items()) if place)
        staleness = UNKNOWN if found.missing else "0"
        return Answer(
            200, msgspec.json.encode(found), (JSON, (POSITION, position.encode()), (STALENESS, staleness.encode()))
        )


class Refused(Exception):
    """A context has answered with a problem, such as that a command is undecided after which the asker wants to see."""

    def __init__(self, answer: Answer) -> None:
        super().__init__(answer.status)
        self.answer = answer
