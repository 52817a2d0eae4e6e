"""The rivals that take orders over HTTP: two monoliths, and the bare POST."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

from common.servers.files import free_port
from tests.load.closed_loop import closed_loop, post_request
from tests.load.measure import Load, Running
from tests.load.rivals.system import Sample, System, counting, start_postgres, start_servers, supervised

KEY = "the-key-of-the-rival"
CONNECTIONS = 128
PROCESSES = 3
"""As many as Daybook has at work on an order's way: gateway, context, projectors."""


@asynccontextmanager
async def monolith(
    name: str, routes: Mapping[str, str], processes: int, data: Path, sample: Sample
) -> AsyncIterator[Running]:
    """A monolith, named as its module, with its Postgres. `routes` by path."""
    async with supervised(data) as supervisor:
        address, port = await start_postgres(supervisor, data), free_port()
        await start_servers(supervisor, name, f"tests.load.rivals.{name}", port, address, KEY, processes=processes)
        async with counting(address, "SELECT count(*) FROM orders") as kept:
            loads = {path: by_http(port, route, KEY, sample, CONNECTIONS) for path, route in routes.items()}
            yield Running(dict(supervisor.pids), loads, kept)


@asynccontextmanager
async def bare(data: Path, sample: Sample) -> AsyncIterator[Running]:
    async with supervised(data) as supervisor:
        port = free_port()
        await start_servers(supervisor, "bare", "tests.load.rivals.bare", port)
        yield Running(dict(supervisor.pids), {"bare_litestar": by_http(port, "/orders", KEY, sample, CONNECTIONS)})


def by_http(port: int, route: str, key: str, sample: Sample, connections: int) -> Load:
    """A closed loop over so many connections."""
    requests = [post_request(route, key, body) for body in sample.bodies]
    return partial(closed_loop, port, requests, connections)


MONOLITH = System(
    name="monolith",
    paths={"monolith": f"monolith, {CONNECTIONS}", "monolith_at_once": f"monolith, one statement, {CONNECTIONS}"},
    differs="more: 201 when receipt, event and row are committed; less: seals nothing, positions with gaps, no readers",
    run=partial(monolith, "monolith", {"monolith": "/orders", "monolith_at_once": "/orders/at-once"}, 1),
)
GROUP_COMMIT = System(
    name="group_commit",
    paths={"group_commit_monolith": f"group-commit monolith, {CONNECTIONS}"},
    differs=f"as the monolith; {PROCESSES} processes, and whatever waits is one statement with one fsync",
    run=partial(monolith, "group_commit", {"group_commit_monolith": "/orders"}, PROCESSES),
)
BARE = System(
    name="bare_litestar",
    paths={"bare_litestar": f"bare Litestar POST, {CONNECTIONS}"},
    differs="less: reads the body and answers; decodes, decides and stores nothing",
    run=bare,
)
