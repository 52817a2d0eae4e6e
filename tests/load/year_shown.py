"""A year as tables and plots that fit a hundred columns."""

from typing import TYPE_CHECKING

import plotext  # type: ignore[import-untyped]  # has no stubs
from rich.console import Console
from rich.table import Table
from rich.text import Text

from tests.load.driving.show import MARKS, plot
from tests.load.processes import MIB

if TYPE_CHECKING:
    from tests.load.year import Year

WIDTH, HEIGHT = 100, 22
GOAL_MIB = 300.0
MOST_TABLES = 14


def show(year: "Year", console: Console) -> None:
    console.width = min(console.width, WIDTH)
    stages = year.stages
    console.print(
        f"{stages.orders:,} orders by {year.via}, {stages.seconds:,.0f} s from the first placed to the last delivered: "
        f"{stages.fulfilled_per_s:,.0f} fulfilled a second.",
        highlight=False,
    )
    for table in (of_stages(year), of_processes(year), of_lags(year), of_disk(year)):
        console.print(table)
    console.print(
        f"All processes together used {year.cores:.2f} of {year.machine_cores} cores meanwhile.", highlight=False
    )
    console.print(plots(year, console.width), highlight=False)


def of_stages(year: "Year") -> Table:
    table = headed("Orders by stage", "", "orders", "a second")
    for name, each in year.stages.stages.items():
        table.add_row(name, f"{each.orders:,}", f"{each.per_s:,.0f}")
    return table


def of_processes(year: "Year") -> Table:
    table = headed("Processes", "", "CPU ms an order", "peak MiB", "grows MiB a minute")
    for name in dict.fromkeys([*year.cpu_ms, *year.memory]):
        memory = year.memory.get(name)
        peak = f"{memory.peak:,.0f}{'' if memory.peak < GOAL_MIB else ' !'}" if memory else ""
        grows = f"{memory.grows_a_minute:+.1f}" if memory else ""
        table.add_row(name, f"{year.cpu_ms[name]:.3f}" if name in year.cpu_ms else "", peak, grows)
    table.add_row("all", f"{sum(year.cpu_ms.values()):.3f}", "", "")
    return table


def of_lags(year: "Year") -> Table:
    table = headed("From recorded to visible, ms", "read model", "p50", "p99", "p99 of the worst minute")
    for name, lag in year.lags.items():
        table.add_row(name, f"{lag.p50_ms:,.0f}", f"{lag.p99_ms:,.0f}", f"{lag.worst_p99_ms:,.0f}")
    return table


def of_disk(year: "Year") -> Table:
    disk, orders = year.disk, year.stages.orders
    table = headed(f"Disk: {disk.per_order:,.0f} bytes an order", "", "MiB", "of it indexes", "bytes an order")
    for name, whole in (("write database", disk.write), ("read database", disk.read), ("bus", disk.bus)):
        table.add_row(name, f"{whole / MIB:,.1f}", "", f"{whole / orders:,.0f}")
    for side in (disk.write_tables, disk.read_tables):
        table.add_section()
        for name, kept in list(side.items())[:MOST_TABLES]:
            both = kept.table + kept.indexes
            table.add_row(name, f"{both / MIB:,.1f}", f"{kept.indexes / MIB:,.1f}", f"{both / orders:,.0f}")
    return table


def headed(title: str, *headings: str) -> Table:
    table = Table(title=title)
    for place, heading in enumerate(headings):
        table.add_column(heading, justify="right" if place else "left")
    return table


def plots(year: "Year", width: int) -> Text:
    """Orders placed and delivered in each second, and the memory of the two largest processes."""
    figure, stages = plotext.figure, year.stages.stages
    figure.clear.all()
    figure.subplots(1, 2)
    figure.plot_size(width, HEIGHT)
    came = [list(map(float, stages[name].by_second)) for name in ("OrderPlaced", "OrderDelivered") if name in stages]
    plot(1, 1, "orders a second: ● placed, ○ delivered", *came)
    largest = list(year.memory)[:2]
    title = ", ".join(f"{mark} {name}" for mark, name in zip(MARKS, largest, strict=False))
    plot(1, 2, f"MiB: {title}", *([look.memory.get(name, 0) / MIB for look in year.looks] for name in largest))
    return Text(figure.build().string(colorless=True))
