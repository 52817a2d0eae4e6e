"""What came out of a bench: ratios, figures, and for each ratio what limits it."""

from collections.abc import Mapping, Sequence
from statistics import median

import psutil
from msgspec import Struct

from tests.load.lag import Lags
from tests.load.measure import OTHERS, Round, quantile_ms

NEAR_A_CORE, BUSY = 0.85, 0.88
"""A process of one thread that uses so much of a core, or a machine so much of all of them, has nothing left."""
DISTURBED = 0.1
"""Other programs of the machine that use so much of a core are named."""
STROKE = " / "


class RoundDone(Struct, frozen=True):
    """One round: a run of each path that is present, and the lags of Daybook."""

    runs: dict[str, Round]
    idle: Lags
    half_load: Lags


class Result(Struct, frozen=True):
    """A ratio is the median of the rounds' own ratios of orders a second, visible ones where there is a read table."""

    ratios: dict[str, float]
    figures: dict[str, float]
    limits: dict[str, str]
    """What limits both paths of each ratio, with a stroke between them."""
    absent: dict[str, str]
    """Why a system was left out, by its name."""
    spread: dict[str, list[float]]
    """Each round's own ratio."""
    cpu_us: dict[str, dict[str, float]]
    """Microseconds of CPU for each order, by path and process."""
    cores: dict[str, dict[str, float]]
    rounds: list[RoundDone]


def result(rounds: list[RoundDone], against: Mapping[str, Sequence[str]], absent: dict[str, str]) -> Result:
    present = rounds[0].runs.keys()
    spread = {
        f"{path}_vs_{other}": [pair(done, path, other) for done in rounds]
        for path, others in against.items()
        for other in others
        if {path, other} <= present
    }
    cores = {path: by_process([done.runs[path].cores for done in rounds]) for path in present}
    return Result(
        ratios={name: round(median(ratios), 3) for name, ratios in spread.items()},
        figures=figures(rounds),
        limits={name: STROKE.join(limit(cores[path]) for path in name.split("_vs_")) for name in spread},
        absent=absent,
        spread=spread,
        cpu_us={path: by_process([done.runs[path].cpu_us for done in rounds]) for path in present},
        cores=cores,
        rounds=rounds,
    )


def pair(done: RoundDone, path: str, other: str) -> float:
    return round(done.runs[path].visible_per_s / done.runs[other].visible_per_s, 3)


def figures(rounds: list[RoundDone]) -> dict[str, float]:
    """The rounds' medians; the idle lags are few, so all of them are one sample."""
    idle = sorted(second for done in rounds for second in done.idle.seconds)
    half = [sorted(done.half_load.seconds) for done in rounds]
    made = {
        "lag_idle_p50_ms": quantile_ms(idle, 0.50),
        "lag_idle_p99_ms": quantile_ms(idle, 0.99),
        "lag_idle_max_ms": quantile_ms(idle, 1.0),
        "lag_half_load_p50_ms": median(quantile_ms(each, 0.50) for each in half),
        "lag_half_load_p99_ms": median(quantile_ms(each, 0.99) for each in half),
        "half_load_per_s": median(done.half_load.per_s for done in rounds),
        "others_percent_of_a_core": median(100 * run.cores[OTHERS] for done in rounds for run in done.runs.values()),
    }
    for path in rounds[0].runs:
        runs = [done.runs[path] for done in rounds]
        made[f"{path}_per_s"] = median(run.visible_per_s for run in runs)
        made[f"{path}_accepted_per_s"] = median(run.accepted_per_s for run in runs)
        made[f"{path}_cpu_us"] = median(sum(run.cpu_us.values()) for run in runs)
        if runs[0].p50_ms:
            made[f"{path}_p50_ms"] = median(run.p50_ms for run in runs)
            made[f"{path}_p99_ms"] = median(run.p99_ms for run in runs)
    return {name: round(figure, 1) for name, figure in made.items()}


def by_process(used: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: round(median(each[name] for each in used), 3) for name in used[0]}


def limit(cores: Mapping[str, float]) -> str:
    """What a path is limited by, judged by who used how many cores."""
    machine = psutil.cpu_count() or 1
    used, others = sum(cores.values()), cores.get(OTHERS, 0.0)
    busiest = sorted(((share, name) for name, share in cores.items() if name != OTHERS), reverse=True)[:3]
    most, name = busiest[0]
    if most >= NEAR_A_CORE and not name.startswith("postgres"):  # Postgres is many processes, nats-server many threads.
        said = f"{name} is near a core ({most:.2f})"
    elif used >= BUSY * machine:
        said = f"the {machine} cores are full: {', '.join(f'{name} {share:.2f}' for share, name in busiest)}"
    else:
        said = f"waits (disk, round trips): {name} {most:.2f}, {used - others:.1f} of {machine} cores"
    return said + (f"; others took {others:.2f}" if others >= DISTURBED else "")
