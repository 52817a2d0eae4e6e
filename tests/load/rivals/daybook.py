"""Daybook itself, as `daybook up` runs it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

from tests.load.closed_loop import Run, post_request
from tests.load.lag import POSITION, Watched
from tests.load.measure import Load, Running
from tests.load.nats_load import send_orders
from tests.load.rivals.over_http import by_http
from tests.load.rivals.placing import PRINCIPAL
from tests.load.rivals.system import Sample, System, counting
from tests.servers import System as Up
from tests.servers import running_system

CONNECTIONS = (1, 32, 128)
PATHS = {f"http_{n}": f"Daybook, HTTP, {n} connection{'s' * (n > 1)}" for n in CONNECTIONS} | {"nats": "Daybook, NATS"}
ROWS = "SELECT count(*) FROM read.orders"


@asynccontextmanager
async def daybook(data: Path, sample: Sample) -> AsyncIterator[Running]:
    # The rivals take an order and do nothing more with it: so its journey does not begin here either.
    async with running_system(data, options=["--without-reactions"]) as up:
        settings = up.settings
        port, key = settings.http_port, settings.api_key(PRINCIPAL)
        loads = {f"http_{n}": by_http(port, "/orders", key, sample, n) for n in CONNECTIONS}
        requests = [post_request("/orders", key, body) for body in sample.bodies]
        watched = Watched(port, requests, settings.write_dsn("order"), settings.read_dsn)
        async with counting(settings.read_dsn, ROWS) as rows, counting(settings.read_dsn, POSITION) as position:
            yield Running(up.pids, loads | {"nats": by_nats(up, sample)}, rows, position, watched)


def by_nats(up: Up, sample: Sample) -> Load:
    url, password = up.settings.nats_url, up.settings.password(PRINCIPAL)

    async def load(seconds: float) -> Run:
        return await send_orders(url, PRINCIPAL, password, sample.orders, uuid4().hex[:12], seconds)

    return load


DAYBOOK = System(
    name="daybook",
    paths=PATHS,
    differs="an order counts once it is visible in the read table; personal data sealed, both ends on the disk",
    run=daybook,
)
