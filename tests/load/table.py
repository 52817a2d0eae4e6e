"""The bench as tables that fit a hundred columns."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.load.result import Result
from tests.load.rivals.system import System

WIDTH = 100
LAGS = {
    "idle": ("a lone order, from accepted to visible", "lag_idle_p50_ms", "lag_idle_p99_ms"),
    "half": ("at half of the rate over 128 connections, from recorded to visible", "lag_half_load_p50_ms",
             "lag_half_load_p99_ms"),
}  # fmt: skip


def show(result: Result, systems: Sequence[System], console: Console) -> None:
    console.width = min(console.width, WIDTH)
    console.print(rates(result, systems))
    for system in systems:
        why = result.absent.get(system.name)
        said = system.differs if why is None else f"left out, because {why}"
        console.print(f"[dim]{system.name}:[/] {escape(said)}", highlight=False)
    for what, p50, p99 in LAGS.values():
        console.print(f"Lag of {what}: p50 {result.figures[p50]:.1f} ms, p99 {result.figures[p99]:.1f} ms")
    console.print(cpu(result, systems))
    console.print(ratios(result))


def rates(result: Result, systems: Sequence[System]) -> Table:
    figures = result.figures
    table = Table(title=f"Orders a second, median of {len(result.rounds)} rounds")
    for heading in ("", "accepted/s", "visible/s", "p50 ms", "p99 ms", "CPU us/order"):
        table.add_column(heading, justify="right" if heading else "left")
    for system in systems:
        if system.name in result.absent:
            table.add_row(f"{system.name}: absent", end_section=True)
            continue
        for path, title in system.paths.items():
            table.add_row(
                title,
                f"{figures[f'{path}_accepted_per_s']:,.0f}",
                f"{figures[f'{path}_per_s']:,.0f}",
                *(f"{figures[name]:.1f}" if (name := f"{path}_{q}_ms") in figures else "" for q in ("p50", "p99")),
                f"{figures[f'{path}_cpu_us']:,.0f}",
                end_section=path == list(system.paths)[-1],
            )
    return table


def cpu(result: Result, systems: Sequence[System]) -> Table:
    table = Table("path", "microseconds of CPU for each order, by process", title="CPU")
    for system in systems:
        for path in system.paths:
            if path in result.cpu_us:
                table.add_row(path, spent(result.cpu_us[path]))
    return table


def spent(by_process: Mapping[str, float]) -> str:
    ordered = sorted(by_process.items(), key=lambda each: -each[1])
    return ", ".join(f"{name} {us:,.0f}" for name, us in ordered if us >= 0.5)


def ratios(result: Result) -> Table:
    table = Table("ratio", "median", "rounds", "what limits the one / the other", title="Ratios")
    for name, ratio in result.ratios.items():
        rounds = " ".join(f"{each:.2f}" for each in result.spread[name])
        table.add_row(name.replace("_vs_", "\nvs "), f"{ratio:.2f} x", rounds, result.limits[name], end_section=True)
    return table
