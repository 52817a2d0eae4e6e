"""How long things take: quantiles of the last minute, buckets since the start, a few samples for a batch."""

import pytest

from common.shell import durations
from common.shell.durations import Durations, Quantiles, timed


def test_quantiles_are_within_one_percent() -> None:
    found = Durations()
    for ms in range(1, 101):
        found.add(ms / 1000, times=2)
    minute = found.last_minute()
    assert (minute.n, minute.unknown) == (200, 0)
    quantiles = [minute.p50_ms, minute.p95_ms, minute.p99_ms, minute.max_ms]
    assert quantiles == [pytest.approx(ms, rel=0.011) for ms in (50, 95, 99, 100)]


def test_a_duration_that_two_clocks_make_negative_is_unknown_and_not_a_short_one() -> None:
    found = Durations()
    found.add(-3.0)
    found.add(None, times=4)
    assert found.last_minute() == Quantiles(0, 5, None, None, None, None)
    assert found.unknown == 5
    assert found.since_start.cumulative()[-1] == ("+Inf", 0.0)


def test_what_is_older_than_a_minute_is_forgotten_but_stays_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    found, now = Durations(), 1000.0
    monkeypatch.setattr(durations, "monotonic", lambda: now)
    found.add(0.002, times=3)
    now += 45
    found.add(0.009)
    assert found.last_minute().n == 4
    now += 20
    assert found.last_minute().n == 1
    assert dict(found.since_start.cumulative()) | {"0.0025": 3.0, "0.01": 4.0, "+Inf": 4.0} == dict(
        found.since_start.cumulative()
    )
    assert found.since_start.sum == pytest.approx(0.015)


def test_whoever_asks_every_second_is_told_of_the_last_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    found, now = Durations(), 1000.0
    monkeypatch.setattr(durations, "monotonic", lambda: now)
    for second in range(200):
        found.add(second / 1000)
        found.add(None)
        minute = found.last_minute()
        begun = max(0, second // durations.SLOT_S - durations.SLOTS + 1) * durations.SLOT_S
        assert (minute.n, minute.unknown) == (second + 1 - begun, second + 1 - begun)
        assert minute.max_ms == pytest.approx(second, rel=0.011)
        now += 1


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 256, 300])
def test_a_batch_is_timed_by_a_few_of_its_items_and_all_are_counted(n: int) -> None:
    samples = timed(range(n))
    assert len(samples) <= durations.MOST_TIMED
    assert sum(times for _, times in samples) == n
    assert [item for item, times in samples for _ in range(times)] <= list(range(n)) or n == 0


def test_a_batch_that_nothing_is_timed_of_counts_nothing() -> None:
    """As one of commands whose answers were stored already."""
    found = Durations()
    found.add(0.002, times=0)
    assert found.last_minute() == Quantiles()
