"""What came out of a load, as it is shown and written as JSON."""

from collections.abc import Sequence
from itertools import pairwise
from math import ceil

from msgspec import Struct

from tests.load.driving.tally import Tally
from tests.load.driving.watch import Look

BUSY = 0.85
LATE_MS = 10.0


class Kind(Struct, frozen=True):
    """The answers of one kind that did not fail; from the intended start, in milliseconds."""

    answered: int
    not_visible_yet: int
    p50_ms: float
    p90_ms: float
    p99_ms: float
    max_ms: float


class Failed(Struct, frozen=True):
    """Requests that failed alike; status 0 is no answer."""

    kind: str
    status: int
    reason: str
    count: int
    example: str


class Second(Struct, frozen=True):
    """One second of the run. Recorded to visible is of the minute before, by the read model's own word."""

    second: int
    accepted: int
    visible: float | None
    p50_ms: float | None
    p99_ms: float | None
    lag_p50_ms: float | None
    lag_p99_ms: float | None
    behind: int | None


class Client(Struct, frozen=True):
    """This program itself. `limits` says that it, not the system, may be what the figures show.

    `late_p99_ms` is how late requests began that had a free lane. `reach_per_s` is what the same requests reach against
    a server that does nothing, when that was asked for.
    """

    cores: float
    late_p99_ms: float
    limits: bool
    reach_per_s: float | None = None


class Result(Struct, frozen=True):
    """The whole run. `visible` counts changes of orders; `visible_per_s` lasts until the last of them was visible."""

    door: str
    target: str
    loop: str
    mix: dict[str, int]
    seconds: float
    stopped_early: bool
    sent: int
    not_sent: int
    failed: int
    accepted: int
    accepted_per_s: float
    visible: int | None
    visible_per_s: float | None
    lag_p50_ms: float | None
    lag_p99_ms: float | None
    orders_prefix: str
    orders_placed: int
    kinds: dict[str, Kind]
    errors: list[Failed]
    timeline: list[Second]
    client: Client
    missed: list[str] = []
    """The limits that were given and not kept."""


def kinds_of(tally: Tally) -> dict[str, Kind]:
    return {kind: kind_of(sorted(found), tally.not_yet[kind]) for kind, found in sorted(tally.latencies.items())}


def kind_of(ascending: list[float], not_yet: int) -> Kind:
    p50, p90, p99 = (quantile_ms(ascending, share) for share in (0.50, 0.90, 0.99))
    return Kind(len(ascending), not_yet, p50, p90, p99, round(ascending[-1] * 1000, 1))


def errors_of(tally: Tally) -> list[Failed]:
    """The most frequent first."""
    found = [Failed(*key, each.count, each.example) for key, each in tally.errors.items()]
    return sorted(found, key=lambda each: -each.count)


def timeline_of(tally: Tally, looks: Sequence[Look], seconds: float) -> list[Second]:
    return [second_of(number, tally, looks) for number in range(ceil(seconds))]


def second_of(number: int, tally: Tally, looks: Sequence[Look]) -> Second:
    taken = sorted(tally.latencies_in[number])
    look = next((each for each in reversed(looks) if each.at - tally.begun < number + 1), None)
    return Second(
        number,
        tally.accepted_in[number],
        rate_at(tally.begun + number + 0.5, looks),
        quantile_ms(taken, 0.50) if taken else None,
        quantile_ms(taken, 0.99) if taken else None,
        look.p50_ms if look else None,
        look.p99_ms if look else None,
        look.behind if look else None,
    )


def rate_at(moment: float, looks: Sequence[Look]) -> float | None:
    """Changes a second that became visible between the two looks around a moment."""
    for before, after in pairwise(looks):
        if before.at <= moment < after.at:
            return round((after.projected - before.projected) / (after.at - before.at), 1)
    return None


def client_of(late: Sequence[float], cpu_s: float, seconds: float) -> Client:
    """A request that begins late though a lane was free tells of a busy client or machine; so does a full core."""
    cores, late_ms = round(cpu_s / seconds, 2), quantile_ms(sorted(late), 0.99)
    return Client(cores, late_ms, cores > BUSY or late_ms > LATE_MS)


def quantile_ms(ascending: Sequence[float], share: float) -> float:
    return round(ascending[min(int(len(ascending) * share), len(ascending) - 1)] * 1000, 1) if ascending else 0.0
