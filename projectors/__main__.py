"""`python -m projectors [names]`: keeps the named read models, or all there are, and answers their queries over NATS.

Until SIGTERM. NATS, the read database and the stores of the contexts may be away at any time: they are waited for.
"""

import asyncio
import logging
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from functools import partial
from types import ModuleType
from typing import Any, Literal

import msgspec
from nats.aio.client import Client

from common import runtime
from common.bucketmodel import BucketModel
from common.bus.connect import BusErrors, connect
from common.config import ConfigError, Settings
from common.discovery import DiscoveryError, commands, read_models, tables
from common.metrics import Sample
from common.metrics_port import metrics_port
from common.readmodel import ReadModel
from common.recorded import VERSION, VERSION_HEADER, Receipt
from common.shell.answers import Answers, answers_app
from common.shell.context_queries import HeadAnswer, head_behind
from common.shell.counted import of_bus, of_projection
from common.shell.follower import ModelBeat
from common.shell.from_buckets import Readings
from common.shell.heads import Heads
from common.shell.news import News
from common.shell.outbox import quietly
from common.shell.patience import AWAY, patiently
from common.shell.projection import BEAT_S, Projection
from common.shell.reading import Sources
from common.shell.room import Room
from common.store.pool import InTurn, open_pool
from common.store.read_schema import TableDiffers, create_tables
from common.store.reader import EventReader

log = logging.getLogger("projectors")

USER = "projectors"
MOST_WAITING = 4096


def main() -> None:
    try:
        runtime.run(run(sys.argv[1:]))
    except (ConfigError, DiscoveryError, TableDiffers) as error:
        sys.exit(f"projectors: {error}")


async def run(names: Sequence[str]) -> None:
    """Until SIGTERM or SIGINT. Raises `ConfigError` when a name is no read model or a setting is wrong."""
    found = read_models()
    if unknown := sorted(set(names) - set(found)):
        raise ConfigError(f"there is no read model named {', '.join(unknown)}; there are {', '.join(found)}")
    running = asyncio.create_task(project(Settings.from_env(), [found[name] for name in names or found]))
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, running.cancel)
    try:
        await running
    except asyncio.CancelledError:
        log.info("stopped")


async def project(settings: Settings, modules: Sequence[ModuleType]) -> None:
    """Runs these read models, and the answers to their queries, until cancelled."""
    models: list[ReadModel | BucketModel] = [module.MODEL for module in modules]
    async with AsyncExitStack() as stack:
        errors = BusErrors()
        async with beating(settings, stack, models, errors) as (connecting, troubled):
            make = partial(create_tables, settings.read_dsn, tables(modules))
            await patiently(make, troubled)
            writes = await opened(stack, settings.read_dsn, "writer", 2 + 2 * len(models), troubled)
            reads = InTurn(await opened(stack, settings.read_dsn, "reader", 8, troubled))
            nc = await connecting
        readers = stores(stack, settings, models)
        app = answers_app(settings, await answers(modules, nc, reads, stores(stack, settings, models)))
        projection = Projection(nc, writes, models, readers, make=make)
        projection.metrics = stack.enter_context(
            metrics_port(settings, "projectors", lambda: counted(projection, nc, errors))
        )
        async with asyncio.TaskGroup() as group:
            group.create_task(projection.run())
            await app.start()
            stack.push_async_callback(app.stop)


def counted(projection: Projection, nc: Client, errors: BusErrors) -> Iterator[Sample]:
    """What has been counted, as metrics."""
    yield from of_projection(projection)
    yield from of_bus(USER, nc, errors)


def stores(
    stack: AsyncExitStack, settings: Settings, models: Sequence[ReadModel | BucketModel]
) -> dict[str, EventReader]:
    """The stores of the contexts that these models follow. Who waits for them takes nothing from others' readers."""
    contexts = sorted({context for model in models for context in model.follows})
    return {context: EventReader(Later(stack, settings.write_dsn(context)), context) for context in contexts}


async def answers(
    modules: Sequence[ModuleType], nc: Client, reads: InTurn, asked: Mapping[str, EventReader]
) -> Answers:
    """What answers the queries of these read models, as fresh as it is wished."""

    async def receipt(principal: str, context: str, command_id: str) -> Receipt | None:
        return (await asked[context].receipts(principal, [command_id])).get(command_id)

    async def head(context: str, positions: tuple[int, ...]) -> HeadAnswer | None:
        with suppress(*AWAY):
            return await head_behind(asked[context], positions)
        return None

    news = News()
    await news.listen(nc)
    sources = Sources(lambda: nc, receipt, news, Heads(head), commands(), Room(MOST_WAITING))
    readings = Readings(modules, lambda: reads.acquire(2), sources)
    return Answers(readings.queries, readings)


@asynccontextmanager
async def beating(
    settings: Settings, stack: AsyncExitStack, models: Sequence[ReadModel | BucketModel], errors: BusErrors
) -> AsyncIterator[tuple["asyncio.Future[Client]", Callable[[str], None]]]:
    """Connects to the bus, and beats there for read models that cannot begin. Yields the connection that will be
    there, and what wants to be told why they cannot."""
    error = ""

    def troubled(text: str) -> None:
        nonlocal error
        error = text

    async def beat() -> None:
        nc = await connecting
        while True:
            await asyncio.sleep(BEAT_S)
            state: Literal["red", "catching-up"] = "red" if error else "catching-up"
            for model in models:
                for context in model.follows:
                    said = ModelBeat(model.name, context, None, "", state, error, pid=os.getpid())
                    await quietly(
                        nc.publish(
                            f"beat.projector.{model.name}",
                            msgspec.json.encode(said),
                            headers={VERSION_HEADER: VERSION},
                        )
                    )

    connecting = asyncio.ensure_future(connect(settings, USER, errors))
    beats = asyncio.ensure_future(beat())
    try:
        yield connecting, troubled
    finally:
        for task in (connecting, beats):
            task.cancel()
        await asyncio.gather(connecting, beats, return_exceptions=True)
        if not connecting.cancelled() and not connecting.exception():
            stack.push_async_callback(connecting.result().close)


async def opened(stack: AsyncExitStack, dsn: str, role: Any, size: int, troubled: Callable[[str], None]) -> Any:
    pool = await patiently(lambda: open_pool(dsn, role, size), troubled)
    stack.callback(pool.terminate)
    return pool


class Later:
    """A pool that is opened when it is first needed: projection starts, and goes on, without the write database."""

    def __init__(self, stack: AsyncExitStack, dsn: str) -> None:
        self._stack, self._dsn = stack, dsn
        self._pool: Any = None
        self._opening = asyncio.Lock()

    async def fetch(self, *question: Any) -> Any:
        return await (await self._opened()).fetch(*question)

    async def fetchrow(self, *question: Any) -> Any:
        return await (await self._opened()).fetchrow(*question)

    async def _opened(self) -> Any:
        async with self._opening:
            if self._pool is None:
                self._pool = await open_pool(self._dsn, "reader", 2)
                self._stack.callback(self._pool.terminate)
        return self._pool


if __name__ == "__main__":
    main()
