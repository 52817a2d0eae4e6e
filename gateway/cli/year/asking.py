"""Asking the public queries by either door, and what they say of sales."""

from collections.abc import Awaitable, Callable
from datetime import date
from operator import add
from typing import Any
from urllib.parse import urlencode

import msgspec

from common.client import Client
from common.messages import Query
from common.questions import NoAnswer, QueryRefused
from gateway.cli.keepalive import KeepAlive
from gateway.cli.year.sums import Sums
from gateway.cli.year.wishes import CHANNEL
from projectors.sales import By, GetSales, SalesPage

PAGE = 500
WITHIN_S = 30.0
AWAY = 500
"""From this status on it is not the question that is at fault: asked again later, it is answered."""

Ask = Callable[[Query], Awaitable[Any]]


def by_http(http: KeepAlive) -> Ask:
    """Through the door for HTTP. Raises `NoAnswer` and `QueryRefused`."""

    async def ask(query: Query) -> Any:
        fields = msgspec.to_builtins(query)
        try:
            reply = await http.get(f"{query.get}?{urlencode({k: v for k, v in fields.items() if v is not None})}")
        except (OSError, TimeoutError) as error:
            raise NoAnswer(f"no answer to {query.get}: {error or type(error).__name__}") from None
        if reply.status >= AWAY:
            raise NoAnswer(f"{query.get} is answered {reply.status} for now")
        answer = msgspec.json.decode(reply.body)
        if reply.status >= 400:
            raise QueryRefused(reply.status, answer)
        return answer

    return ask


def by_nats(daybook: Client) -> Ask:
    """Over NATS. Raises `NoAnswer` and `QueryRefused`."""

    async def ask(query: Query) -> Any:
        return await unless_away(daybook.ask(query, WITHIN_S))

    return ask


async def unless_away(answer: Awaitable[Any]) -> Any:
    """An answer. Raises `NoAnswer` also when somebody answers that who knows is away; else `QueryRefused`."""
    try:
        return await answer
    except QueryRefused as refused:
        if refused.status >= AWAY:
            raise NoAnswer(str(refused)) from None
        raise


async def sales(ask: Ask, by: By, as_of: date | None = None) -> Sums:
    """Of our channel, by what is asked for and up to a day, page after page: orders, units and cents that were sold,
    then cents that were cancelled and refunded."""
    found: Sums = {}
    after: str | None = None
    while True:
        query = GetSales(by=by, as_of=as_of, channel=CHANNEL, limit=PAGE, after=after)
        page = msgspec.convert(await ask(query), SalesPage)
        for each in page.sales:
            was = found.get(each.name, (0,) * 5)  # Another currency would be a difference.
            more = each.orders, each.units, each.revenue, each.cancelled, each.refunded
            found[each.name] = tuple(map(add, was, more))
        if (after := page.next) is None:
            return found
