"""How long the bench takes, and of what that is made."""

from collections.abc import Sequence

from msgspec import Struct

from tests.load.rivals.system import System

START_S = 3.5
"""What it takes on average to start and stop a system, on a machine that does nothing else."""
SETTLE = 1.5
"""A run with the time until all of it is visible takes so many times as long as its orders are sent."""


class Plan(Struct, frozen=True):
    """All times in seconds. `within_s` is the promise: a round that may not end by then is not begun."""

    within_s: float
    rounds: int
    run_s: float
    warm_s: float
    """Before each run, orders that are not counted: caches, connections and compilers settle."""
    lone_orders: int
    """For the idle lag, in each round, each after a pause longer than every interval at which anything is polled."""
    pause_s: float
    half_load_s: float

    def round_s(self, systems: Sequence[System]) -> float:
        """How long a round is expected to take."""
        runs = sum(len(system.paths) for system in systems) * (self.run_s + self.warm_s) * SETTLE
        lags = self.lone_orders * self.pause_s * 1.25 + self.half_load_s
        return len(systems) * START_S + runs + lags

    def expected_s(self, systems: Sequence[System]) -> float:
        return self.rounds * self.round_s(systems)


QUICK = Plan(within_s=300, rounds=3, run_s=2, warm_s=0.3, lone_orders=10, pause_s=1.1, half_load_s=3)
FULL = Plan(within_s=1200, rounds=3, run_s=7, warm_s=1, lone_orders=80, pause_s=1.2, half_load_s=12)
