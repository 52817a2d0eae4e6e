"""A timeline for a terminal: one line a command with its events, under what caused it, and the milliseconds it took."""

from collections.abc import Iterator
from datetime import datetime

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from common.shell.timeline import Timeline, TimelineCommand, milliseconds
from gateway.cli.talk import COLOURS

INDENT = "  "
LEGEND = (
    "ms  waited: from its cause to its acceptance; decided: from there to the record; at: since the first acceptance"
)


def shown(line: Timeline) -> RenderableType:
    table = Table.grid(padding=(0, 1), expand=True)
    table.add_column(no_wrap=True, overflow="ellipsis", ratio=1)
    for _ in range(3):
        table.add_column(justify="right", no_wrap=True, min_width=9)
    total = f"  {line.total_ms:,.1f} ms in all" if line.total_ms is not None else ""
    title = Text.assemble((f"{line.context} {line.stream}", "bold"), (total, "dim"))
    table.add_row(title, *(Text(heading, style="dim") for heading in ("waited", "decided", "at")))
    begun = min((command.accepted_at for command in line.commands), default=None)
    for command in line.commands:
        for row in rows(command, line, begun, 0, ""):
            table.add_row(*row)
    return Group(table, *remarks(line), Text(LEGEND, style="dim"))


def remarks(line: Timeline) -> Iterator[Text]:
    if line.missing:
        yield Text(f"did not answer: {', '.join(line.missing)}", style="yellow")
    if line.cut:
        yield Text("there is more than is shown", style="yellow")


def rows(
    command: TimelineCommand, line: Timeline, begun: datetime | None, depth: int, cause: str
) -> Iterator[tuple[Text, ...]]:
    """The command's own row, then those of what its events caused. `cause` is named where it might be another."""
    at = milliseconds(begun, command.recorded_at) if begun else None
    times = (command.waited_ms, command.decided_ms, at)
    yield words(command, line, depth, cause), *(number(ms) for ms in times)
    for event in command.events:
        for each in event.caused:
            yield from rows(each, line, begun, depth + 1, event.type if len(command.events) > 1 else "")


def words(command: TimelineCommand, line: Timeline, depth: int, cause: str) -> Text:
    """Where, unless that is the stream itself; what; by whom, unless a context reacts; what it led to."""
    text = Text(INDENT * (depth - 1) + "└ " if depth else "", style="dim")
    if (command.context, command.key) != (line.context, line.stream):
        key = "" if command.key == line.stream else f" {command.key}"
        text.append(f"{command.context}{key}: ", style="none")
    text.append(command.type, style="bold")
    if depth == 0:
        text.append(f" by {command.principal}", style="none")
    if cause:
        text.append(f" after {cause}", style="none")
    if command.state != "accepted" or not command.events:
        text.append(f"  {command.state} {command.code}".rstrip(), style=COLOURS[command.state])
    for number, event in enumerate(command.events):
        text.append(", " if number else " → ", style="none")
        text.append(event.type, style="green").append(f" {event.version}", style="dim")
    return text


def number(ms: float | None) -> Text:
    return Text(f"{ms:,.1f}" if ms is not None else "", style="cyan")
