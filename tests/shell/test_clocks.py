"""The clocks of the servers: measured from the middle of the quickest answer, unknown until then (protocol P11)."""

import asyncio
from datetime import UTC, datetime, timedelta
from time import monotonic

import pytest
from nats.aio.client import Client

from common.shell import clocks
from common.shell.clocks import UNMEASURED, ServerClock, bus_clock, store_clock
from tests.servers import until
from tests.shell.worlds import World


def ahead(seconds: float, delays: list[float]) -> ServerClock:
    """A server's clock so far ahead of ours; each answer comes late by one of the delays, on its way back."""

    async def ask() -> datetime:
        now = datetime.now(UTC)
        await asyncio.sleep(delays.pop())
        return now + timedelta(seconds=seconds)

    return ServerClock("far", ask)


async def test_the_quickest_answer_counts() -> None:
    clock = ahead(7200, [0.2, 0.2, 0.0, 0.2, 0.2])
    assert await clock.measure()
    offset = clock.offset()
    assert offset.offset_ms == pytest.approx(7_200_000, abs=20)
    assert offset.within_ms is not None and offset.within_ms < 90
    two_hours_ago_here = datetime.now(UTC)
    since = clock.since(two_hours_ago_here, monotonic())
    assert since == pytest.approx(7200, abs=0.1)


async def test_what_was_never_measured_is_unknown() -> None:
    assert not await UNMEASURED.measure()
    assert UNMEASURED.since(datetime.now(UTC), monotonic()) is None
    assert UNMEASURED.offset().offset_ms is None


async def test_a_server_that_goes_away_keeps_its_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = ahead(5, [0.0] * 5)
    assert await clock.measure()

    async def away() -> datetime:
        raise ConnectionError

    monkeypatch.setattr(clock, "_ask", away)
    assert not await clock.measure()
    assert clock.offset().offset_ms == pytest.approx(5000, abs=20)


async def test_a_server_that_was_away_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clocks, "AGAIN_S", 0.01)
    answers = 0

    async def ask() -> datetime:
        nonlocal answers
        answers += 1
        if answers < 3:
            raise ConnectionError
        return datetime.now(UTC)

    clock = ServerClock("shy", ask)
    running = asyncio.create_task(clock.run())
    await until(lambda: clock.offset().offset_ms is not None)
    running.cancel()


async def test_real_servers_on_this_machine_show_our_own_time(world: World, nc: Client) -> None:
    for clock in (store_clock(world.reader), bus_clock(nc, world.stream)):
        assert await clock.measure()
        offset = clock.offset()
        assert offset.offset_ms is not None and offset.within_ms is not None
        assert abs(offset.offset_ms) <= offset.within_ms + 2
