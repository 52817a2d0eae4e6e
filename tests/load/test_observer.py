"""The outside observer compares like with like: what lies between its two looks is no difference."""

from math import isnan

import pytest

from tests.load.observer import Observer, at, observe, outside, report
from tests.servers import System


@pytest.mark.parametrize(("said", "apart"), [(4.0, 0.0), (2.0, 0.0), (1.5, 0.5), (9.0, 3.0)])
def test_only_what_lies_outside_of_both_looks_is_a_difference(said: float, apart: float) -> None:
    assert outside(said, 2.0, 6.0) == outside(said, 6.0, 2.0) == apart


def test_nothing_seen_is_no_number() -> None:
    assert isnan(at([], 0.5))
    assert at([3.0, 1.0, 2.0], 0.5) == 2.0
    assert at([3.0, 1.0, 2.0], 0.99) == 3.0


async def test_under_load_the_endpoint_and_the_observer_tell_of_the_same_events(
    system: System, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAYBOOK_DATA", str(system.settings.data))
    monkeypatch.setenv("DAYBOOK_HTTP_PORT", str(system.settings.http_port))
    lines = await observe(4.0, 50.0)
    compared, *_, number = lines
    assert int(compared.split()[0]) > 10
    assert not any("nan" in line for line in lines)
    mine, said = (int(word) for word in number.split() if word.isdecimal())
    assert mine > 50 and said >= mine


def test_the_report_names_what_nobody_knew() -> None:
    observer = Observer(None, None, None)  # type: ignore[arg-type]  # It asks nobody any more.
    observer.unknown, observer.off_ms, observer.off_events = 2, [1.0], [0.0]
    lines = report(observer, [5.0], {"p50_ms": 5.0, "p95_ms": 6.0, "p99_ms": None, "n": 1})
    assert "2 unknown" in lines[0]
    assert "observer 5.00 ms, endpoint 6.00 ms, off by +1.00" in lines[4]
