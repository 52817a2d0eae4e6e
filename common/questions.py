"""Asking a query over NATS, and reading its answer."""

from collections.abc import Mapping
from math import ceil
from typing import Any

import msgspec
import nats.errors
from msgspec import Struct
from nats.aio.client import Client as Nats

from common.bus.denials import Denials, NotPermitted
from common.recorded import POSITION_HEADER, STATUS_HEADER
from common.shell.wish import AFTER_HEADER, LONGEST_WAIT_S, PREFER, STALENESS_HEADER, UNTIL_HEADER
from common.subjects import query_subject

ON_THE_WAY_S = 1.0
"""What an answer that was waited for may take beyond the waiting."""


class QueryRefused(Exception):
    """A query was answered with a problem (RFC 9457); `status` is as HTTP would have it."""

    def __init__(self, status: int, problem: dict[str, Any]) -> None:
        super().__init__(problem.get("detail") or f"refused with status {status}")
        self.status, self.problem = status, problem


class NoAnswer(Exception):
    """Nobody answered in time."""


class Answered(Struct, frozen=True):
    """An answer as plain data, and how fresh it is.

    `position` is by context, as `after` takes it; it shows everything that is older than `staleness_ms`, which is None
    when nobody knows.
    """

    value: Any
    position: str
    staleness_ms: float | None


class Questions:
    """Asks in a principal's name."""

    def __init__(self, nc: Nats, principal: str, errors: Denials) -> None:
        self._nc, self._principal, self._errors = nc, principal, errors

    async def ask(self, type_name: str, fields: Any, within: float, after: str = "", until: str = "") -> Answered:
        """Raises `QueryRefused`, `NoAnswer` and `NotPermitted`."""
        subject, headers = query_subject(self._principal, type_name), wishes(after, until, within)
        patience = within + ON_THE_WAY_S if headers else within
        try:
            with self._errors.heard(subject):
                body = msgspec.json.encode(fields)
                reply = await self._nc.request(subject, body, timeout=patience, headers=headers or None)
        except NotPermitted:
            raise NotPermitted(f"{self._principal} may not ask {type_name}") from None
        except nats.errors.NoRespondersError:
            raise NoAnswer(f"nobody answers {type_name}") from None
        except (nats.errors.Error, TimeoutError):
            raise NoAnswer(f"no answer to {type_name} within {patience:g} s") from None
        return answered(reply.data, reply.headers or {})


def wishes(after: str, until: str, within: float) -> dict[str, str]:
    """The headers that wish for a fresh answer."""
    found = {AFTER_HEADER: after, UNTIL_HEADER: until}
    wished = {name: text for name, text in found.items() if text}
    return wished | {PREFER: f"wait={min(ceil(within), LONGEST_WAIT_S)}"} if wished else {}


def answered(body: bytes, headers: Mapping[str, str]) -> Answered:
    """Raises `QueryRefused`."""
    value = msgspec.json.decode(body)
    if (status := int(headers.get(STATUS_HEADER, "200"))) >= 400:
        raise QueryRefused(status, value)
    staleness = headers.get(STALENESS_HEADER, "")
    return Answered(value, headers.get(POSITION_HEADER, ""), float(staleness) if staleness.isdecimal() else None)
