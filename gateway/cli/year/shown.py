"""How a replay is shown: bars while it runs, then both sums side by side."""

import time
from collections.abc import Sequence

from msgspec import Struct
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from gateway.cli.year import underway
from gateway.cli.year.comparing import SALES, UNDONE, Compared, Comparison, number
from gateway.cli.year.sums import Odd

STAGES = ("stored", "visible", "settled", "delivered")
"""How far orders come: settled is as far as they go without a warehouse, delivered is also paid."""
REFRESHED = 2
"""Times a second: to draw the bars costs as much as to send some orders."""
MOST = 10
"""Differences that are shown; JSON has them all."""


class Played(Struct, frozen=True, kw_only=True):
    """What happened. `per_s` are orders a second until all that were sent had come to each of the `STAGES`."""

    sent: int
    skipped: int
    per_s: dict[str, float]
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

    def rates(self, number: int, begun: float) -> dict[str, float]:
        """So many orders a second to each stage, from when the first of them was sent."""
        return {name: round(number / (self.at[name] - begun), 1) for name in STAGES if self.at.get(name, 0) > begun}

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
    there = sum(found.states.values())
    if there > played.sent + played.skipped:
        console.print(
            f"More had been played before: compared are all {there:,} baskets that are there.", highlight=False
        )
    for each in found.compared[1:] if full else ():
        console.print(all_of(each))
    if played.sent:
        console.print(rates(played), highlight=False)
    stand = ", ".join(f"{count:,} {state}" for state, count in found.states.items())
    more = " With --deliver, or by `daybook simulate`, they are delivered." if "confirmed" in found.states else ""
    console.print(f"The orders are: {stand}.{more}", highlight=False)
    if played.skipped:
        console.print(f"{played.skipped:,} were there already and were not sent again", highlight=False)
    console.print("Odd in the file, and kept as it is:", highlight=False)
    for count, text in oddities(found.odd):
        console.print(f"{count:>9,}  {text}", highlight=False)


def sums(compared: Sequence[Compared]) -> Table:
    """The totals of what was compared with the file. Of sales that is their revenue; orders and units are equal too."""
    table = Table(title="A grocer's year, as the file and as the views have it", title_justify="left")
    for name in ("", "file", "views", "equal"):
        table.add_column(name, justify="right" if name else "left")
    for each in (each for each in compared if each.sums != UNDONE):
        differing = {found.key for found in each.differences()}
        keys = len(each.file.keys() | each.views.keys())
        equal = f"{keys - len(differing):,} of {keys:,}" if each.by else "NO" if differing else "yes"
        rows = zip(each.sums, each.total(each.file), each.total(each.views), strict=True)
        for name, file, views in list(rows)[-1:] if each.sums == SALES else rows:
            what = f"{name} by {each.by}" if each.by else name
            table.add_row(what, number(name, file), number(name, views), equal, style="bold red" if differing else "")
    return table


def all_of(compared: Compared) -> Table:
    """Every sum of one kind, once where both have the same, else the file's and the views'."""
    table = Table(compared.by if compared.sums == UNDONE else f"by {compared.by}", *compared.sums)
    for column in table.columns[1:]:
        column.justify = "right"
    none = (0,) * len(compared.sums)
    for key in sorted(compared.file.keys() | compared.views.keys()):
        both = zip(compared.sums, compared.file.get(key, none), compared.views.get(key, none), strict=True)
        table.add_row(key, *(cell(*each, compared.beside) for each in both))
    return table


def cell(name: str, file: int, views: int, beside: str) -> Text:
    if file == views:
        return Text(number(name, file))
    return Text(f"{number(name, file)} in the {beside},\n{number(name, views)} in the views", "bold red")


def rates(played: Played) -> str:
    text = ", ".join(f"{rate:,.0f} a second {name}" for name, rate in played.per_s.items())
    return (
        f"{played.sent:,} orders, {text}\n"
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
    return "unknown" if milliseconds is None else f"{milliseconds:,.0f} ms"
