"""The open loop keeps its pace whatever the server does, and its latencies show what the server did."""

import asyncio
from collections import Counter
from collections.abc import Callable
from itertools import pairwise
from time import perf_counter, process_time, sleep
from typing import Any

import pytest

from tests.load.pace import OneByOne, Steady, follow

HELD_S = 0.3


async def lanes(schedule: Any, number: int, begin: Callable[[float], Any]) -> None:
    await asyncio.gather(*(follow(schedule, begin) for _ in range(number)))


async def test_the_open_loop_keeps_its_rate_and_its_count() -> None:
    times: list[float] = []

    async def begin(intended: float) -> None:
        times.append(intended)

    begun, schedule = perf_counter(), Steady(200, 0.5)
    await lanes(schedule, 8, begin)
    assert (len(times), schedule.not_sent) == (100, 0)
    assert all(after - before == pytest.approx(1 / 200) for before, after in pairwise(times))
    assert perf_counter() - begun < 1
    times.clear()
    await lanes(Steady(1000, 60, 7), 3, begin)
    assert len(times) == 7


async def test_a_rate_finer_than_the_timer_is_kept_without_spinning() -> None:
    times: list[float] = []

    async def begin(intended: float) -> None:
        times.append(intended)

    schedule, used = Steady(3000, 0.5), process_time()
    await lanes(schedule, 8, begin)
    assert (len(times), schedule.not_sent) == (1500, 0)
    assert process_time() - used < 0.3, "a loop that spins uses all of the half second"
    assert all(late >= 0 for late in schedule.late)
    assert len(schedule.late) <= 500


async def test_a_server_that_stalls_shows_in_the_latency_of_all_that_was_meant_to_begin_meanwhile() -> None:
    waits: list[float] = []
    stalls = perf_counter() + HELD_S

    async def begin(intended: float) -> None:
        await asyncio.sleep(max(0.0, stalls - perf_counter()))
        waits.append(perf_counter() - intended)

    schedule = Steady(100, 2 * HELD_S)
    await lanes(schedule, 1, begin)
    assert len(waits) + schedule.not_sent == 60
    assert waits[0] > 0.9 * HELD_S
    assert sum(wait > HELD_S / 2 for wait in waits) > 10, "a closed loop would have seen one slow request"


async def test_a_timer_that_is_late_at_the_very_end_leaves_nothing_unsent() -> None:
    begun: list[float] = []

    async def begin(intended: float) -> None:
        begun.append(intended)
        if len(begun) == 599:
            sleep(0.01)  # noqa: ASYNC251  # this program is busy while the end goes by

    schedule = Steady(2000, 0.3)
    await lanes(schedule, 8, begin)
    assert (len(begun), schedule.not_sent) == (600, 0)


async def test_what_is_not_sent_in_time_is_counted() -> None:
    async def begin(intended: float) -> None:
        await asyncio.sleep(0.2)

    schedule = Steady(100, 0.3)
    await lanes(schedule, 2, begin)
    assert schedule.not_sent == 26


async def test_a_loop_that_is_stopped_begins_nothing_more() -> None:
    schedules = (Steady(0.5, 3600), OneByOne(3600))
    begun: Counter[int] = Counter()

    async def begin(number: int) -> None:
        begun[number] += 1
        await asyncio.sleep(0)
        schedules[number].stop()

    for number, schedule in enumerate(schedules):
        await asyncio.wait_for(lanes(schedule, 2, lambda _, number=number: begin(number)), 1)  # type: ignore[misc]  # bound
    assert begun[0] == 1
    assert begun[1] in (1, 2)


async def test_the_closed_loop_stops_at_its_count() -> None:
    numbers: list[float] = []

    async def begin(intended: float) -> None:
        numbers.append(intended)

    await lanes(OneByOne(60, 10), 4, begin)
    assert len(numbers) == 10
