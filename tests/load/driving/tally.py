"""Counts what a load does, by kind and by second."""

from collections import Counter, defaultdict
from time import perf_counter

from msgspec import Struct

from tests.load.driving.mix import COMMANDS

NOT_YET = 404
NOTHING = 0
"""The status of what got no answer."""


class Outcome(Struct, gc=False):
    """What became of a request: a status as HTTP has it; of what failed, a reason in a word and the answer's text."""

    kind: str
    status: int
    reason: str = ""
    example: str = ""


class Failures(Struct):
    """Requests that failed alike."""

    count: int = 0
    example: str = ""


class Tally:
    """Times are seconds since the run began, latencies count from when a request was meant to begin."""

    def __init__(self) -> None:
        self.begun = perf_counter()
        self.sent = self.answered = self.accepted = self.failed = 0
        self.latencies: dict[str, list[float]] = defaultdict(list)
        self.not_yet: Counter[str] = Counter()
        self.errors: dict[tuple[str, int, str], Failures] = defaultdict(Failures)
        self.accepted_in: Counter[int] = Counter()
        self.latencies_in: dict[int, list[float]] = defaultdict(list)

    def note(self, outcome: Outcome, intended: float) -> None:
        now = perf_counter()
        self.answered += 1
        if outcome.kind == "get" and outcome.status == NOT_YET:
            self.not_yet[outcome.kind] += 1
        elif not 200 <= outcome.status < 300:
            return self.fail(outcome)
        second, taken = int(now - self.begun), now - intended
        self.latencies[outcome.kind].append(taken)
        self.latencies_in[second].append(taken)
        if outcome.kind in COMMANDS:
            self.accepted += 1
            self.accepted_in[second] += 1

    def fail(self, outcome: Outcome) -> None:
        self.failed += 1
        alike = self.errors[outcome.kind, outcome.status, outcome.reason]
        alike.count += 1
        alike.example = alike.example or outcome.example

    @property
    def in_flight(self) -> int:
        return self.sent - self.answered
