"""A result for people: tables and plots that fit a hundred columns; without colours where there is no terminal."""

from collections.abc import Sequence

import plotext  # type: ignore[import-untyped]  # has no stubs
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from tests.load.driving.result import Result

WIDTH, HEIGHT = 100, 24
LEAST_SECONDS = 3
MARKS = ("●", "○")

Series = Sequence[float | None]


def show(result: Result, console: Console) -> None:
    console.width = min(console.width, WIDTH) if console.is_terminal else WIDTH
    console.print(summary(result), highlight=False)
    console.print(latencies(result))
    if result.errors:
        console.print(errors(result))
    if len(result.timeline) >= LEAST_SECONDS:
        console.print(plots(result, console.width), highlight=False)
    if result.client.reach_per_s is not None:
        reach = f"{result.client.reach_per_s:,.0f} requests/s"
        console.print(f"Against a server that does nothing this client reaches {reach}.", highlight=False)
    for warning in warnings(result):
        console.print(f"[yellow]{escape(warning)}[/]", highlight=False)
    for missed in result.missed:
        console.print(f"[red]missed: {escape(missed)}[/]", highlight=False)


def summary(result: Result) -> str:
    mix = ",".join(f"{kind}={share}" for kind, share in result.mix.items())
    lag = f"recorded to visible, last minute: p50 {ms(result.lag_p50_ms)}, p99 {ms(result.lag_p99_ms)}"
    return (
        f"{result.door} to {result.target}: {result.loop}, {result.seconds:g} s\nmix {mix}\n"
        f"[bold]{result.accepted_per_s:,.0f} accepted/s, {number(result.visible_per_s)} visible/s[/]; {lag}\n"
        f"sent {result.sent:,}, not sent in time {result.not_sent:,}, failed {result.failed:,}; "
        f"commands accepted {result.accepted:,}, changes visible {number(result.visible)}"
    )


def latencies(result: Result) -> Table:
    table = Table(title="from the intended start to the answer, ms")
    for heading in ("", "answered", "not visible yet", "p50", "p90", "p99", "max"):
        table.add_column(heading, justify="right" if heading else "left")
    for kind, each in result.kinds.items():
        times = [f"{taken:,.1f}" for taken in (each.p50_ms, each.p90_ms, each.p99_ms, each.max_ms)]
        table.add_row(kind, f"{each.answered:,}", f"{each.not_visible_yet:,}" if kind == "get" else "", *times)
    return table


def errors(result: Result) -> Table:
    table = Table("kind", "status", "reason", "count", "an example", title="what failed")
    for each in result.errors:
        cells = (each.kind, str(each.status or "none"), each.reason, f"{each.count:,}", each.example)
        table.add_row(*map(escape, cells))
    return table


def warnings(result: Result) -> list[str]:
    found = []
    if result.stopped_early:
        found.append("Stopped early: these are the figures until then.")
    if result.client.limits:
        used = f"{result.client.cores:g} of a core, began {result.client.late_p99_ms:g} ms late (p99)"
        found.append(f"This client used {used}: it may be what limits these figures.")
    if result.visible is None:
        found.append("Nobody said what is visible: /consistency-lag was not to be had (give --url).")
    elif result.visible < result.accepted:
        missing = result.accepted - result.visible
        found.append(f"{missing:,} accepted commands show no change: refused by a rule, or still on the way.")
    return found


def plots(result: Result, width: int) -> Text:
    """Four plots over the seconds of the run."""
    seconds = result.timeline[: int(result.seconds + 0.1)]  # Half a second at the end would look like a fall.
    figure = plotext.figure
    figure.clear.all()
    figure.subplots(2, 2)
    figure.plot_size(width, HEIGHT)
    plot(1, 1, "a second: ● accepted, ○ visible", [s.accepted for s in seconds], [s.visible for s in seconds])
    plot(1, 2, "latency, ms: ● p50, ○ p99", [s.p50_ms for s in seconds], [s.p99_ms for s in seconds])
    lags = [s.lag_p50_ms for s in seconds], [s.lag_p99_ms for s in seconds]
    plot(2, 1, "recorded to visible, ms: ● p50, ○ p99", *lags)
    plot(2, 2, "recorded and not visible yet, events", [s.behind for s in seconds])
    return Text(figure.build().string(colorless=True))  # Its own colours suit no dark terminal.


def plot(row: int, column: int, title: str, *series: Series) -> None:
    chart = plotext.figure.subplot(row, column)
    chart.canvas("default")
    chart.title(title)
    chart.legend(False)
    chart.ruler(axis="x", side="lower").ticks(*ticks(len(series[0])))
    for mark, values in zip(MARKS, series, strict=False):
        known = [(at, value) for at, value in enumerate(values) if value is not None]
        if known:
            chart.draw(chart.signal([at for at, _ in known], [value for _, value in known], marker=mark))


def ticks(seconds: int) -> tuple[list[int], list[str]]:
    """At most six, at whole seconds."""
    places = list(range(0, seconds, max(1, -(-seconds // 6))))
    return places, [str(place) for place in places]


def ms(milliseconds: float | None) -> str:
    return "unknown" if milliseconds is None else f"{milliseconds:,.1f} ms"


def number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:,.0f}"
