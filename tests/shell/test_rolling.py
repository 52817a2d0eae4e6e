"""Quantiles of the last minute."""

import pytest

from common.shell.rolling import Rolling


def test_quantiles_are_within_one_percent() -> None:
    rolling = Rolling()
    for ms in range(1, 101):
        rolling.add(float(ms), times=2)
    n, found = rolling.quantiles(0.5, 0.99)
    assert n == 200
    assert found == [pytest.approx(50, rel=0.011), pytest.approx(99, rel=0.011)]


def test_a_duration_that_two_clocks_make_negative_is_not_a_short_one() -> None:
    rolling = Rolling()
    rolling.add(-3000.0)
    assert rolling.quantiles(0.5) == (0, [None])
