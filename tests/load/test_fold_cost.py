"""Folding against the table: both give the state after the last event, and the figures are of one answer."""

from tests.load.fold_cost import Cost, figures, measured
from tests.servers import System


async def test_short_streams_are_made_asked_for_both_ways_and_counted(system: System) -> None:
    costs = await measured(system, [1, 3, 700], tries=3, seconds=5)
    assert [(cost.events, cost.way, cost.tries) for cost in costs.costs] == [
        (events, way, 3) for events in (1, 3, 700) for way in ("table", "fold")
    ]
    assert all(0 < cost.p50_ms <= cost.p99_ms for cost in costs.costs)
    assert costs.figures["head_beside_a_fold_max_ms"] >= costs.figures["head_beside_a_fold_p50_ms"] > 0


def test_a_ratio_is_of_the_fold_to_the_table_of_the_same_stream() -> None:
    costs = [Cost(10, "table", 1, 2.0, 3.0, 0.5, {}), Cost(10, "fold", 1, 5.0, 9.0, 2.0, {})]
    assert figures(costs) == {"fold_vs_table_10_p50": 2.5, "fold_vs_table_10_cpu": 4.0}
