"""A projector that is stopped, killed, or stuck in an endless loop is said to be so within 5 s, and never 0 behind."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import httpx
import pytest
import pytest_asyncio

from common.config import PROJECT
from common.servers.embedded import child_environment
from tests.integration.ordering import BODY, PRINCIPAL
from tests.servers import System, until

WITHIN_S = 5.0


@pytest_asyncio.fixture(scope="module")
async def http(system: System) -> AsyncIterator[httpx.AsyncClient]:
    headers = {"X-API-Key": system.settings.api_key(PRINCIPAL)}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=10, trust_env=False) as client:
        yield client


class Watch:
    """What the endpoint says of the model `orders`; it must never call it 0 behind once it is `broken`."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self._http, self.broken, self.line = http, False, dict[str, Any]()

    async def says(self, *states: str) -> bool:
        reply = await self._http.get("/consistency-lag/orders")
        self.line = reply.json()["read_models"][0]
        alive = self.line["state"] in ("live", "catching-up")
        if self.broken and not alive:
            assert self.line["events"] != 0 and self.line["ms"] != 0, self.line
        return self.line["state"] in states

    async def within_five_seconds(self, *states: str) -> None:
        began = monotonic()
        await until(lambda: self.says(*states), within=WITHIN_S, what=f"orders to be {states}: {self.line}")
        assert monotonic() - began <= WITHIN_S

    async def well(self) -> None:
        """Alive, and with nothing left to do."""
        await until(self._has_all, within=30, what="orders to be live")

    async def _has_all(self) -> bool:
        return await self.says("live") and self.line["events"] == 0


async def place(http: httpx.AsyncClient) -> None:
    reply = await http.post("/orders", content=BODY, headers={"Prefer": "wait=10", "Content-Type": "application/json"})
    assert reply.status_code == 200, reply.text


async def test_a_stopped_projector_is_late_then_dead_and_lives_again(system: System, http: httpx.AsyncClient) -> None:
    watch = Watch(http)
    await watch.well()
    pid = system.kill("projectors", signal.SIGSTOP)
    try:
        watch.broken = True
        await watch.within_five_seconds("dead")
        assert (watch.line["events"], watch.line["ms"]) == ("unknown", "unknown")
        await place(http)
        await watch.says("dead")
        assert watch.line["events"] == 1 and watch.line["ms"] > 0
    finally:
        os.kill(pid, signal.SIGCONT)
    await watch.well()


@pytest.mark.parametrize(("how", "state"), [("blocking", "dead"), ("awaiting", "stalled")])
async def test_a_projector_in_an_endless_loop_is_said_to_be_so(
    system: System, http: httpx.AsyncClient, how: str, state: str
) -> None:
    watch = Watch(http)
    await watch.well()
    pid = system.kill("projectors", signal.SIGSTOP)  # Another takes its place; it is not started anew.
    try:
        await until(lambda: watch.says("dead"), within=10)
        async with looping(system, how) as process:
            await watch.well()
            await place(http)
            watch.broken = True
            await watch.within_five_seconds(state)
            assert watch.line["events"] == 1 and watch.line["ms"] > 0
            assert process.returncode is None
    finally:
        os.kill(pid, signal.SIGCONT)
    await watch.well()


async def test_a_killed_projector_that_stays_away_is_dead(system: System, http: httpx.AsyncClient) -> None:
    """The supervisor would start it anew; stopped, it does not."""
    watch = Watch(http)
    await watch.well()
    os.kill(system.process.pid, signal.SIGSTOP)
    try:
        system.kill("projectors")
        watch.broken = True
        await watch.within_five_seconds("dead")
        assert (watch.line["events"], watch.line["ms"]) == ("unknown", "unknown")
    finally:
        os.kill(system.process.pid, signal.SIGCONT)
    watch.broken = False
    await watch.well()


@asynccontextmanager
async def looping(system: System, how: str) -> AsyncIterator[asyncio.subprocess.Process]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    env = clean | child_environment(system.settings) | {"PYTHONPATH": str(PROJECT)}
    with (system.settings.data / "logs" / "looping.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.integration.looping", how, env=env, stdout=log, stderr=log
        )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()
