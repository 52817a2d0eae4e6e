"""The bench as tables that fit a hundred columns."""

from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from tests.load.result import DISTURBED, STROKE, Result
from tests.load.rivals.system import System

WIDTH = 100


def show(result: Result, systems: Sequence[System], console: Console) -> None:
    console.width = min(console.width, WIDTH)
    console.print(rates(result, systems))
    for system in systems:
        why = result.absent.get(system.name)
        said = system.differs if why is None else f"left out, because {why}"
        console.print(f"[dim]{system.name}:[/] {escape(said)}", highlight=False)
    console.print(lags(result.figures), highlight=False)
    console.print(cpu(result, systems))
    console.print(ratios(result))
    if (others := result.figures["others_percent_of_a_core"]) >= 100 * DISTURBED:
        console.print(f"The machine was not quiet: other programs used {others:.0f} % of a core beside these runs.")


def lags(figures: Mapping[str, float]) -> str:
    def ms(name: str) -> str:
        return f"{figures[f'lag_{name}_ms']:.1f} ms"

    return (
        "Lag of a lone order, from accepted to visible: "
        f"p50 {ms('idle_p50')}, p99 {ms('idle_p99')}, longest {ms('idle_max')}.\n"
        f"Lag at {figures['half_load_per_s']:,.0f} orders/s, half of what 128 connections reach, "
        f"from recorded to visible: p50 {ms('half_load_p50')}, p99 {ms('half_load_p99')}."
    )


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
    """Daybook's own path once, then the others under it, each with what limits it."""
    table = Table("", "median", "rounds", "what limits it", title="Ratios of orders a second")
    shown = ""
    for name, ratio in result.ratios.items():
        (path, other), (own, others) = name.split("_vs_"), result.limits[name].split(STROKE)
        if path != shown:
            table.add_section()
            table.add_row(path, "", "", own)
            shown = path
        rounds = " ".join(f"{each:.2f}" for each in result.spread[name])
        table.add_row(f"  vs {other}", f"{ratio:.2f} x", rounds, others)
    return table
