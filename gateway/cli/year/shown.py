"""How a replay is shown: bars while it runs, then both sums side by side."""

import time
from collections.abc import Sequence

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from gateway.cli.year import underway
from gateway.cli.year.comparing import Compared, Comparison, number
from gateway.cli.year.sums import Odd

REFRESHED = 2
"""Times a second: to draw the bars costs as much as to send some orders."""
MOST = 10
"""Differences that are shown; JSON has them all."""


class Played(Struct, frozen=True, kw_only=True):
    """What happened. Rates are orders a second until all that were sent were stored, could be seen, had come as far as
    they go without a warehouse, and were delivered and paid."""

    sent: int
    skipped: int
    stored_per_s: float | None
    visible_per_s: float | None
    settled_per_s: float | None
    delivered_per_s: float | None
    visible_p50_ms: float | None
    visible_p99_ms: float | None
    found: Comparison


class Bars:
    """One bar for each stage. `at` says when each of them moved last."""

    def __init__(self, console: Console, totals: dict[str, int], progress: underway.Progress) -> None:
        columns = (
            TextColumn("{task.description:>9}"),
            BarColumn(24),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]:>8}"),
            TimeRemainingColumn(),
        )
        self._bars = Progress(*columns, console=console, refresh_per_second=REFRESHED)
        self._tasks = {name: self._bars.add_task(name, total=total, rate="") for name, total in totals.items()}
        self._progress = progress
        self._was = dict.fromkeys(totals, 0)
        self._begun: dict[str, float] = {}
        self.at: dict[str, float] = {}

    def __enter__(self) -> "Bars":
        self._bars.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.show()
        self._bars.stop()

    def show(self) -> None:
        """As it is now."""
        for name, task in self._tasks.items():
            if (now := getattr(self._progress, name)) != self._was[name]:
                self._was[name], self.at[name] = now, time.monotonic()
                taken = self.at[name] - self._begun.setdefault(name, self.at[name])
                self._bars.update(task, completed=now, rate=f"{now / taken:,.0f}/s" if taken > 1 else "")


def show(played: Played, console: Console, full: bool) -> None:
    """Prints both sums side by side, the rates, and what is odd in the file."""
    found = played.found
    console.print(sums(found.compared))
    for each in found.compared[1:] if full else ():
        console.print(all_of(each))
    if played.sent:
        console.print(rates(played), highlight=False)
    stand = ", ".join(f"{count:,} {state}" for state, count in found.states.items())
    more = "" if played.delivered_per_s else " With --deliver, or by `daybook simulate`, they are delivered."
    console.print(f"The orders are: {stand}.{more}", highlight=False)
    if played.skipped:
        console.print(f"{played.skipped:,} were there already and were not sent again", highlight=False)
    console.print("Odd in the file, and kept as it is:", highlight=False)
    for count, text in oddities(found.odd):
        console.print(f"{count:>9,}  {text}", highlight=False)


def sums(compared: Sequence[Compared]) -> Table:
    """The totals of everything that was compared."""
    table = Table(title="A grocer's year, as the file and as the views have it", title_justify="left")
    for name in ("", "file", "views", "equal"):
        table.add_column(name, justify="right" if name else "left")
    for each in compared:
        differing = {found.key for found in each.differences()}
        keys = len(each.file.keys() | each.views.keys())
        equal = "yes" if not differing else "NO"
        many = f"{keys - len(differing):,} of {keys:,}" if keys > 1 else equal
        for name, file, views in zip(each.sums, each.total(each.file), each.total(each.views), strict=True):
            what = name if keys == 1 else f"{name} by {each.by}"
            table.add_row(what, number(name, file), number(name, views), many, style="bold red" if differing else "")
    return table


def all_of(compared: Compared) -> Table:
    """Every sum of one kind."""
    table = Table(compared.by)
    for name in compared.sums:
        table.add_column(f"{name}, file", justify="right")
        table.add_column(f"{name}, views", justify="right")
    none = (0,) * len(compared.sums)
    for key in sorted(compared.file.keys() | compared.views.keys()):
        both = zip(compared.sums, compared.file.get(key, none), compared.views.get(key, none), strict=True)
        cells = [number(name, value) for name, file, views in both for value in (file, views)]
        table.add_row(key, *cells, style="" if compared.file.get(key) == compared.views.get(key) else "bold red")
    return table


def rates(played: Played) -> str:
    found = {
        "stored": played.stored_per_s,
        "visible": played.visible_per_s,
        "as far as they go": played.settled_per_s,
        "delivered and paid": played.delivered_per_s,
    }
    text = ", ".join(f"{rate:,.0f} a second {name}" for name, rate in found.items() if rate)
    return (
        f"{played.sent:,} orders: {text}\n"
        f"recorded to visible: p50 {ms(played.visible_p50_ms)}, p99 {ms(played.visible_p99_ms)}"
    )


def oddities(odd: Odd) -> list[tuple[int, str]]:
    """What is odd in the file, counted, and what is done with it; of what does not occur, nothing."""
    counted = [
        (odd.lines_of_quantity_0, f"lines of quantity 0, {odd.of_these_with_money:,} of them with money"),
        (odd.amounts_that_do_not_divide, "amounts that do not divide by the quantity"),
        (odd.baskets_that_total_0, "baskets that total 0.00"),
        (odd.baskets_of_quantity_0_only, "baskets of nothing but quantity 0"),
        (odd.products_in_no_catalogue, "products in no catalogue: sold as of department unknown, not added"),
        (odd.products_without_a_price, "products never sold by the piece for money: not added"),
        (odd.products_of_the_catalogue_not_sold, "products of the catalogue that were not bought: not added"),
        (odd.largest_quantity, "the largest quantity of one line"),
    ]
    return [(count, text) for count, text in counted if count]


def ms(milliseconds: float | None) -> str:
    return "unknown" if milliseconds is None else f"{milliseconds:.0f} ms"
