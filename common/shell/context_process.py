"""The process of contexts: each of them with its connections, by itself, until it is told to end."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

from common.bus.connect import BusErrors, connect
from common.config import Settings
from common.context import Context
from common.metrics import Sample
from common.metrics_port import metrics_port
from common.shell.answers import answers_app
from common.shell.beating import beating
from common.shell.context_part import ContextPart
from common.shell.deadlines import with_durations
from common.shell.pools import pool_when_there
from common.store.pool import Role


async def run_contexts(
    settings: Settings,
    contexts: Sequence[Context],
    roles: Mapping[str, frozenset[str]],
    *,
    reacting: bool = True,
) -> None:
    """Runs these contexts in this process until cancelled, each by itself. Servers that are away are waited for.

    Unless they are `reacting`, they decide what they are asked, and ask nothing themselves.
    """
    parts: dict[str, ContextPart] = {}

    def counted() -> Iterator[Sample]:
        return (sample for running in list(parts.values()) for sample in running.samples())

    with metrics_port(settings, "context", counted) as metrics:
        async with asyncio.TaskGroup() as group:
            for context in contexts:
                group.create_task(run_context(settings, context, roles, parts, metrics, reacting))


async def run_context(
    settings: Settings,
    context: Context,
    roles: Mapping[str, frozenset[str]],
    parts: dict[str, ContextPart],
    metrics: str = "",
    reacting: bool = True,
) -> None:
    """Runs one context until cancelled. Puts itself among `parts`, whose metrics are at `metrics`."""
    async with AsyncExitStack() as stack:
        running = await stack.enter_async_context(part(settings, context, roles, reacting))
        running.metrics, parts[context.name] = metrics, running
        app = answers_app(settings, running.answers)
        async with asyncio.TaskGroup() as group:
            for work in running.works():
                group.create_task(work)
            await app.start()
            stack.push_async_callback(app.stop)


@asynccontextmanager
async def part(
    settings: Settings, context: Context, roles: Mapping[str, frozenset[str]], reacting: bool = True
) -> AsyncIterator[ContextPart]:
    """One context with its connections, closed in the end."""
    errors = BusErrors()
    nc = await connect(settings, f"context-{context.name}", errors)
    pools: list[Any] = []

    async def pool(dsn: str, role: Role) -> Any:
        pools.append(await pool_when_there(dsn, role, troubled))
        return pools[-1]

    try:
        async with beating(nc, context.name) as troubled:
            dsn = settings.write_dsn(context.name)
            writer, reader = await pool(dsn, "writer"), await pool(dsn, "reader")
            keys = writer if settings.keys_dsn() == dsn else await pool(settings.keys_dsn(), "writer")
        context = with_durations(context, settings.durations)
        made = ContextPart(settings, context, roles, nc, errors, writer, reader, keys, reacting)
        await made.vault.listen(nc)
        yield made
    finally:
        await nc.close()
        for each in pools:
            each.terminate()
