"""The system that a year is played through, as it is reached from outside: its doors, its views and its lags."""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from typing import Any

import click
import msgspec

from common.bus.outgoing import OutcomeUnknown
from common.client import Client, connect
from common.config import Settings
from common.lag import UNKNOWN, ConsistencyLag, LagAnswer, ModelLag
from common.questions import NoAnswer, QueryRefused
from gateway.cli.keepalive import KeepAlive
from gateway.cli.sending import PATIENCE_S, PRINCIPAL, Send, posting, publishing
from gateway.cli.up import http_url
from gateway.cli.year.asking import Ask, by_http, by_nats, unless_away
from gateway.cli.year.views import Views

LOOK_S, REST_S = 0.2, 2.0
"""How often we look, and for how long nothing may move before it is at rest."""
Places = dict[tuple[str, str], object]
"""How far each view has come in the record of each context; `unknown` when nobody knows."""
SILENT = (NoAnswer, QueryRefused, OutcomeUnknown, OSError)


class System:
    """Commands and public queries go by the chosen door; receipts and lags are asked for over NATS."""

    def __init__(self, daybook: Client, views: Views, send: Send, ask: Ask, via: str) -> None:
        self._daybook, self.views, self.send, self.ask, self.via = daybook, views, send, ask, via
        self._projected: Sequence[object] = ()

    async def answered(self, context: str, command_ids: Sequence[str]) -> Collection[str]:
        """Which of these commands were accepted. None, as long as nobody says so: sent again, they change nothing."""
        with suppress(*SILENT):
            return await self.accepted(context, command_ids)
        return ()

    async def accepted(self, context: str, command_ids: Sequence[str]) -> Collection[str]:
        """Which of these commands were accepted. Raises `NoAnswer` and `QueryRefused`."""
        found = await self._receipts(context, command_ids)
        return {each for each, receipt in found.items() if receipt["state"] == "accepted"}

    async def refused(self, context: str, command_ids: Sequence[str]) -> Mapping[str, str]:
        """Why, by the code of the rule, those of these commands were refused that were. Raises as `accepted`."""
        found = await self._receipts(context, command_ids)
        return {each: receipt["code"] for each, receipt in found.items() if receipt["state"] != "accepted"}

    async def _receipts(self, context: str, command_ids: Sequence[str]) -> Mapping[str, Any]:
        asked = self._daybook.ask_named(f"{context.capitalize()}Receipts", {"ids": command_ids})
        found: Mapping[str, Any] = await unless_away(asked)
        return found

    async def catches_up(self) -> bool:
        """Whether any view has come further since this was asked last: then it is worth waiting."""
        lag = await self._lag()
        now = [each.projected for each in lag.read_models] if lag else []
        was, self._projected = self._projected, now
        return now != was

    async def caught_up(self) -> None:
        """Until each view has come as far as the records were when that was first known.

        Raises `click.ClickException` when none of those that have not has moved for a minute; it names them.
        """
        heads: dict[str, int] = {}
        lacking: list[ModelLag] | None = None
        moved = time.monotonic()
        while time.monotonic() - moved < PATIENCE_S:
            if lag := await self._lag():
                heads = {each.context: each.head for each in lag.contexts if isinstance(each.head, int)} | heads
                now = [each for each in lag.read_models if not is_at(each, heads.get(each.context))]
                if not now:
                    return
                if lacking is None or places(now) != places(lacking):
                    moved = time.monotonic()
                lacking = now
            await asyncio.sleep(LOOK_S)
        raise click.ClickException(not_caught_up(lacking or [], heads))

    async def at_rest(self, until: float) -> Places | None:
        """How far each view has come, once all show everything and none has moved for a moment.

        None when that has not come about at this monotonic time.
        """
        was: Places | None = None
        since = time.monotonic()
        while time.monotonic() < until:
            now = standing(await self._lag())
            if now is None or now != was:
                was, since = now, time.monotonic()
            elif time.monotonic() - since >= REST_S:
                return now
            await asyncio.sleep(LOOK_S)
        return None

    async def latency(self) -> tuple[float | None, float | None]:
        """Milliseconds from recorded to visible over the last minute, of the orders: p50 and p99."""
        lag = await self._lag()
        found = [each for each in lag.read_models if each.model == "orders"] if lag else []
        return (found[0].p50_ms, found[0].p99_ms) if found else (None, None)

    async def _lag(self) -> LagAnswer | None:
        with suppress(*SILENT):
            return msgspec.convert(await self._daybook.ask(ConsistencyLag()), LagAnswer)
        return None


def is_at(view: ModelLag, head: object) -> bool:
    """Whether it is known to show everything up to there."""
    return isinstance(view.projected, int) and isinstance(head, int) and view.projected >= head


def places(views: Sequence[ModelLag]) -> Places:
    return {(each.title, each.context): each.projected for each in views}


def standing(lag: LagAnswer | None) -> Places | None:
    """How far each view has come, when all show everything and every event was reacted to; else None."""
    if lag is None or not all(is_at(each, each.head) for each in lag.read_models):
        return None
    return None if any(each.events for each in lag.processes) else places(lag.read_models)


def not_caught_up(lacking: Sequence[ModelLag], heads: Mapping[str, int]) -> str:
    which = ", ".join(
        f"{each.title} at {each.projected} of {heads.get(each.context, UNKNOWN)} of {each.context}" for each in lacking
    )
    return f"for {PATIENCE_S:.0f} s these views have not caught up: {which or 'nobody says how far any has come'}"


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
