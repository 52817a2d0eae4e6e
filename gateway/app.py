"""The gateway: which doors there are, and what they need while it runs."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager
from functools import partial
from types import ModuleType
from typing import Any, Literal

import msgspec
from litestar import Litestar, Request, Response
from litestar.datastructures import State
from litestar.exceptions import HTTPException
from litestar.static_files import create_static_files_router

from common import discovery
from common.bucketmodel import BucketModel
from common.config import Settings
from common.lag import LagAnswer
from common.messages import Command
from common.metrics import Sample
from common.principals import load_principals
from common.readmodel import ReadModel
from common.recorded import Receipt
from common.shell.from_buckets import Readings
from common.shell.room import Room
from gateway import __version__, openapi, page
from gateway.backlog import Backlog
from gateway.beats import OWN_NAME, Beats, Who
from gateway.commands_door import CommandDoor, command_routes
from gateway.doors import route
from gateway.freshness import Freshness
from gateway.glossary.page import GlossaryDoor
from gateway.http import Answer, Asked, Door, Patience
from gateway.intake import Intake
from gateway.lag import Lag
from gateway.lag_door import LagDoor, answer_on_the_bus
from gateway.link import Bus, ReadDatabase
from gateway.metrics_door import MetricsDoor, TargetsDoor, metrics_page
from gateway.openapi import Description, Undecided
from gateway.problems import Problem, internal, later, of_status
from gateway.queries_door import QueryDoor, ReceiptDoor
from gateway.receipts import Receipts
from gateway.record_door import HistoryDoor, Streams
from gateway.timeline import TimelineDoor
from gateway.traffic import Traffic
from gateway.watching import Watching

OVER = "over"
"""Where the application's state holds the event that ends what would go on."""
MOST_WAITING = 4096
"""Requests that wait at once, at most, for the decision of their command, and as many for an answer fresh enough."""


def build(
    settings: Settings,
    commands: dict[str, tuple[type[Command], ...]] | None = None,
    read_models: Sequence[ModuleType] | None = None,
) -> Litestar:
    """The application. Without commands and read models given, it serves all that are discovered.

    Raises `ConfigError`.
    """
    gateway = Gateway(
        settings,
        discovery.commands() if commands is None else commands,
        tuple(discovery.read_models().values()) if read_models is None else read_models,
    )
    handlers = [route(method, path, door, gateway.traffic.count) for method, path, door in gateway.routes()]
    return Litestar(
        [*handlers, static_files()],
        lifespan=[gateway.running],
        exception_handlers={HTTPException: refused_by_the_router, Exception: failed},
        openapi_config=None,
        logging_config=None,
        state=State({OVER: gateway.watching.over}),
    )


class Gateway:
    """The parts that the doors share."""

    def __init__(
        self,
        settings: Settings,
        commands: dict[str, tuple[type[Command], ...]],
        read_models: Sequence[ModuleType],
    ) -> None:
        self._settings, self._contexts = settings, tuple(commands)
        self._commands, self._queries = command_routes(commands), discovery.query_handlers(read_models)
        self._principals = load_principals(settings.principals, self._contexts)
        self._bus, self._reads = Bus(), ReadDatabase(settings.read_dsn)
        self.traffic, self.watching = Traffic(), Watching()
        self._backlog = Backlog(self._bus, self._contexts, settings.backlog_age_s)
        self._receipts = Receipts(self._bus)
        self._intake = Intake(self._bus, self._receipts, self._backlog)
        self._patience, self._deciding, self._reading = Patience(), Room(MOST_WAITING), Room(MOST_WAITING)
        self._freshness = Freshness(self._bus, self._receipts, self._contexts, self._reading)
        buckets = discovery.buckets(read_models)
        self._watched = {query for query, (kind, *_) in discovery.query_models(read_models).items() if kind in buckets}
        self._read = Readings(read_models, self._reads.connection, self._freshness.sources)
        self._beats = Beats(self._bus, expected(self._contexts, [*discovery.tables(read_models), *buckets]))
        self._lag = Lag(
            self._beats, self._freshness.head, self._freshness.sources.news.at, self._contexts, self._backlog.ages
        )

    def routes(self) -> Iterator[tuple[Literal["GET", "POST"], str, Door]]:
        """Method, path and door of every route."""
        for each in self._commands:
            yield "POST", each.path, CommandDoor(each, self._principals, self._intake, self._patience, self._deciding)
        for query in self._queries:
            watch = partial(self.watching.stream, self._read.of(query)) if query in self._watched else None
            yield "GET", query.get, QueryDoor(query, self._read, self._contexts, self._principals, self._bus, watch)
            if query.stream:
                streams = Streams(query, self._read, self._contexts)
                yield "GET", f"{query.get}/history", HistoryDoor(streams, self._principals, self._bus)
                timeline = TimelineDoor(streams, self._contexts, self._principals, self._bus)
                yield "GET", f"{query.get}/timeline", timeline
        yield "GET", "/commands/{context}/{command_id}", ReceiptDoor(self._contexts, self._principals, self._receipts)
        for path in ("/consistency-lag", "/consistency-lag/{model}"):
            yield "GET", path, LagDoor(self._lag, self._principals)
        yield "GET", "/metrics", MetricsDoor(self._lag, self._counted, self._principals)
        yield "GET", "/metrics/targets", TargetsDoor(self._beats, self._principals)
        yield "GET", "/livez", alive
        yield "GET", "/readyz", ready(commands=self._bus.answers, queries=self._reads.answers)
        yield "GET", "/readyz/commands", ready(commands=self._bus.answers)
        yield "GET", "/readyz/queries", ready(queries=self._reads.answers)
        yield "GET", "/openapi.json", fixed(msgspec.json.encode(self._described().document("Daybook", __version__)))
        yield "GET", "/docs", page.page
        yield "GET", "/docs/metrics", metrics_page
        yield "GET", "/docs/glossary", GlossaryDoor()
        yield "GET", "/", page.way_to_the_page

    def _counted(self) -> Iterator[Sample]:
        yield from self.traffic.samples()
        yield from self._bus.samples()
        yield from (Sample("daybook_backlog_age_seconds", (name,), age) for name, age in self._backlog.ages.items())
        yield Sample("daybook_waiting", ("decision",), self._deciding.inside)
        yield Sample("daybook_waiting", ("freshness",), self._reading.inside)
        yield Sample("daybook_waiting", ("change",), self.watching.room.inside)

    @asynccontextmanager
    async def running(self, app: Litestar) -> AsyncIterator[None]:
        """Connects in the background: each door is open as soon as what it needs is there."""
        work = (
            self._bus.run(self._settings),
            self._backlog.run(),
            self._beats.run(),
            answer_on_the_bus(self._settings, self._lag),
            self._patience.run(),
            self._freshness.run(),
        )
        tasks = [asyncio.create_task(each) for each in work]
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._reads.close()

    def _described(self) -> Description:
        described = openapi.operations(self._commands, self._queries, self._watched)
        plain = described.plain
        plain("/commands/{context}/{command_id}", "Receipt", "What became of a command that you have sent",
              {200: Receipt, 202: Undecided}, 401, 404, 503)  # fmt: skip
        plain("/consistency-lag", "ConsistencyLag", "How far behind each read model is, and which processes live",
              {200: LagAnswer}, 401)  # fmt: skip
        plain("/consistency-lag/{model}", "ModelConsistencyLag", "How far behind one read model is",
              {200: LagAnswer}, 401, 404)  # fmt: skip
        plain("/metrics", "Metrics", "What the gateway has counted, for Prometheus; /docs/metrics says what each means",
              {200: str}, 401)  # fmt: skip
        plain("/metrics/targets", "MetricsTargets", "Where the other processes' metrics are, for Prometheus",
              {200: list[dict[str, Any]]}, 401)  # fmt: skip
        plain("/livez", "Alive", "The process answers", {200: Any}, open=True)
        plain("/readyz", "Ready", "Commands can be taken and queries answered", {200: Any}, 503, open=True)
        plain("/readyz/commands", "ReadyForCommands", "Commands can be taken", {200: Any}, 503, open=True)
        plain("/readyz/queries", "ReadyForQueries", "Queries can be answered", {200: Any}, 503, open=True)
        return described


def expected(contexts: Iterable[str], models: Iterable[ReadModel | BucketModel]) -> Iterator[Who]:
    """Who should be heard: who has never been is missing, and not merely absent."""
    yield Who("gateway", OWN_NAME)
    for context in contexts:
        yield from (Who("worker", context, context), Who("relay", context, context))
    for model in models:
        yield from (Who("projector", model.name, context) for context in model.follows)


async def alive(asked: Asked) -> Answer:
    return Answer(200, b'{"alive":true}')


def ready(**checks: Callable[[], Any]) -> Door:
    """A door that asks each part and answers 503 when one does not answer."""

    async def door(asked: Asked) -> Answer:
        answers = await asyncio.gather(*(check() for check in checks.values()))
        found = dict(zip(checks, answers, strict=True))
        if not all(found.values()):
            missing = ", ".join(name for name, answer in found.items() if not answer)
            raise later("not-ready", f"not ready for {missing}", **found)
        return Answer(200, msgspec.json.encode(found))

    return door


def fixed(body: bytes) -> Door:
    async def door(asked: Asked) -> Answer:
        return Answer(200, body)

    return door


def static_files() -> Any:
    """The scripts of the API's page, from the package that carries them."""
    return create_static_files_router("/docs/static", [page.static_files()], include_in_schema=False)


def refused_by_the_router(request: Request[Any, Any, Any], error: HTTPException) -> Response[bytes]:
    return response(of_status(error.status_code, error.detail, error.headers or {}))


def failed(request: Request[Any, Any, Any], error: Exception) -> Response[bytes]:
    return response(error if isinstance(error, Problem) else internal(error))


def response(problem: Problem) -> Response[bytes]:
    """A problem as Litestar's own handlers give it."""
    answer = problem.answer()
    headers = {name.decode(): value.decode() for name, value in answer.headers if name != b"content-type"}
    return Response(answer.body, status_code=answer.status, media_type="application/problem+json", headers=headers)
