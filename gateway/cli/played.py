"""The outcome of a replay, and how it is printed."""

from msgspec import Struct
from rich.console import Console
from rich.table import Table

from gateway.cli.baskets import CURRENCY, Sums


class Tables(Struct, frozen=True):
    """What the read table says of the same orders; `revenue` in cents."""

    baskets: int
    revenue: int
    units: int
    lines: int


class Played(Struct, frozen=True):
    """What happened. Rates are orders a second until all were stored, until all were visible, and until all had come as
    far as they go without a warehouse. `states` says how many orders stand where.
    """

    sent: int
    skipped: int
    stored_per_s: float | None
    visible_per_s: float | None
    settled_per_s: float | None
    visible_p50_ms: float | None
    visible_p99_ms: float | None
    states: dict[str, int]
    read: Tables
    file: Sums

    @property
    def differences(self) -> list[str]:
        """The sums that are not the same in the read table and in the file."""
        return [name for name in Tables.__struct_fields__ if getattr(self.read, name) != getattr(self.file, name)]


def show(played: Played, console: Console) -> None:
    """Prints both sums side by side, the rates, and what was odd in the file."""
    file, read = played.file, played.read
    console.print(f"The first {file.baskets:,} baskets of a grocer's year:", highlight=False)
    table = Table()
    for name in ("", "read table", "file"):
        table.add_column(name, justify="right" if name else "left")
    for name in ("baskets", "lines", "units"):
        table.add_row(name, f"{getattr(read, name):,}", f"{getattr(file, name):,}")
    table.add_row(f"revenue, {CURRENCY}", f"{read.revenue / 100:,.2f}", f"{file.revenue / 100:,.2f}")
    console.print(table)
    if played.sent:
        console.print(
            f"{played.sent:,} orders: {played.stored_per_s:,.0f} a second stored, {played.visible_per_s:,.0f} a second "
            f"visible, {played.settled_per_s:,.0f} a second as far as they go\n"
            f"recorded to visible: p50 {ms(played.visible_p50_ms)}, p99 {ms(played.visible_p99_ms)}",
            highlight=False,
        )
    stand = ", ".join(f"{number:,} {state}" for state, number in played.states.items())
    console.print(f"They are: {stand}. `daybook simulate` dispatches and delivers.", highlight=False)
    if played.skipped:
        console.print(f"{played.skipped:,} were there already and were not sent again", highlight=False)
    console.print("Odd in the file, and kept as it is:", highlight=False)
    for number, text in oddities(file):
        console.print(f"{number:>9,}  {text}", highlight=False)


def oddities(file: Sums) -> list[tuple[int, str]]:
    """What is odd in the file, counted; of what does not occur, nothing."""
    counted = [
        (file.lines_of_quantity_0, f"lines of quantity 0, {file.of_these_with_money:,} of them with money"),
        (file.amounts_that_do_not_divide, "amounts that do not divide by the quantity"),
        (file.baskets_that_total_0, "baskets that total 0.00"),
        (file.baskets_of_quantity_0_only, "baskets of nothing but quantity 0"),
        (file.skus_in_no_catalogue, "products that are in no catalogue"),
        (file.largest_quantity, "the largest quantity of one line"),
    ]
    return [(number, text) for number, text in counted if number]


def ms(milliseconds: float | None) -> str:
    return "unknown" if milliseconds is None else f"{milliseconds:.0f} ms"
