"""Asking the public queries by either door, and what they say of sales."""

from collections.abc import Awaitable, Callable
from datetime import date
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

Ask = Callable[[Query], Awaitable[Any]]


def by_http(http: KeepAlive) -> Ask:
    """Through the door for HTTP. Raises `NoAnswer` and `QueryRefused`."""

    async def ask(query: Query) -> Any:
        fields = msgspec.to_builtins(query)
        try:
            reply = await http.get(f"{query.get}?{urlencode({k: v for k, v in fields.items() if v is not None})}")
        except (OSError, TimeoutError) as error:
            raise NoAnswer(f"no answer to {query.get}: {error or type(error).__name__}") from None
        answer = msgspec.json.decode(reply.body)
        if reply.status >= 400:
            raise QueryRefused(reply.status, answer)
        return answer

    return ask


def by_nats(daybook: Client) -> Ask:
    """Over NATS. Raises `NoAnswer` and `QueryRefused`."""

    async def ask(query: Query) -> Any:
        return await daybook.ask(query, WITHIN_S)

    return ask


async def sales(ask: Ask, by: By, as_of: date | None = None) -> Sums:
    """Orders, units and cents of our channel, by what is asked for and up to a day: page after page."""
    found: Sums = {}
    after: str | None = None
    while True:
        query = GetSales(by=by, as_of=as_of, channel=CHANNEL, limit=PAGE, after=after)
        page = msgspec.convert(await ask(query), SalesPage)
        for each in page.sales:
            was = found.get(each.name, (0, 0, 0))  # Another currency would be a difference.
            found[each.name] = was[0] + each.orders, was[1] + each.units, was[2] + each.revenue
        if (after := page.next) is None:
            return found
