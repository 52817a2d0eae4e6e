"""The system that a year is played through, as it is reached from outside: its doors, its views and its lags."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import msgspec

from common.bus.outgoing import OutcomeUnknown
from common.client import Client, connect
from common.config import Settings
from common.lag import ConsistencyLag, LagAnswer
from common.questions import NoAnswer, QueryRefused
from gateway.cli.keepalive import KeepAlive
from gateway.cli.sending import PATIENCE_S, PRINCIPAL, Send, posting, publishing
from gateway.cli.up import http_url
from gateway.cli.year.asking import Ask, by_http, by_nats
from gateway.cli.year.views import Views

LOOK_S = 0.2
SILENT = (NoAnswer, QueryRefused, OutcomeUnknown, OSError)


class System:
    """Commands and public queries go by the chosen door; receipts and lags are asked for over NATS."""

    def __init__(self, daybook: Client, views: Views, send: Send, ask: Ask, via: str) -> None:
        self._daybook, self.views, self.send, self.ask, self.via = daybook, views, send, ask, via
        self._projected: Sequence[object] = ()

    async def answered(self, context: str, command_ids: Sequence[str]) -> Collection[str]:
        """Which of these commands were accepted. None, as long as nobody says so: sent again, they change nothing."""
        try:
            found = await self._daybook.ask_named(f"{context.capitalize()}Receipts", {"ids": command_ids})
        except SILENT:
            return ()
        return {each for each, receipt in found.items() if receipt["state"] == "accepted"}

    async def refused(self, context: str, command_ids: Sequence[str]) -> Mapping[str, str]:
        """Why, by the code of the rule, those of these commands were refused that were."""
        found = await self._daybook.ask_named(f"{context.capitalize()}Receipts", {"ids": command_ids})
        return {each: receipt["code"] for each, receipt in found.items() if receipt["state"] != "accepted"}

    async def catches_up(self) -> bool:
        """Whether any view has come further since this was asked last: then it is worth waiting."""
        lag = await self._lag()
        now = [each.projected for each in lag.read_models] if lag else []
        was, self._projected = self._projected, now
        return now != was

    async def caught_up(self) -> None:
        """Until each view has come as far as the records have now, or none has moved for a minute."""
        heads: dict[str, Any] = {}
        projected: Sequence[object] = ()
        moved = time.monotonic()
        while time.monotonic() - moved < PATIENCE_S:
            if lag := await self._lag():
                heads = heads or {each.context: each.head for each in lag.contexts}
                if all(_is_at(each.projected, heads.get(each.context)) for each in lag.read_models):
                    return
                if projected != (now := [each.projected for each in lag.read_models]):
                    projected, moved = now, time.monotonic()
            await asyncio.sleep(LOOK_S)

    async def latency(self) -> tuple[float | None, float | None]:
        """Milliseconds from recorded to visible over the last minute, of the orders: p50 and p99."""
        lag = await self._lag()
        found = [each for each in lag.read_models if each.model == "orders"] if lag else []
        return (found[0].p50_ms, found[0].p99_ms) if found else (None, None)

    async def _lag(self) -> LagAnswer | None:
        with suppress(*SILENT):
            return msgspec.convert(await self._daybook.ask(ConsistencyLag()), LagAnswer)
        return None


def _is_at(projected: object, head: object) -> bool:
    return isinstance(projected, int) and isinstance(head, int) and projected >= head


@asynccontextmanager
async def reached(settings: Settings, via: str) -> AsyncIterator[System]:
    """The system that these settings mean, for as long as the block runs. Raises `ConnectionError`, `ConfigError`."""
    http, views = KeepAlive(http_url(settings), settings.api_key(PRINCIPAL)), Views(settings.read_dsn)
    try:
        async with connect(settings.nats_url, PRINCIPAL, settings.password(PRINCIPAL)) as daybook:
            if via == "http":
                yield System(daybook, views, posting(http), by_http(http), via)
            else:
                yield System(daybook, views, publishing(daybook), by_nats(daybook), via)
    finally:
        http.close()
        views.close()
