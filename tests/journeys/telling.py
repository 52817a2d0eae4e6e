"""A timeline, as GET /orders/{id}/timeline gives it, told in lines."""

from collections.abc import Iterator
from typing import Any

from msgspec import Struct


class Told(Struct, frozen=True):
    """A command of a timeline: under which event it stands, and the command at the top."""

    command: dict[str, Any]
    cause: str
    top: dict[str, Any]
    depth: int

    @property
    def name(self) -> tuple[str, str, str]:
        return self.command["context"], self.command["principal"], self.command["command_id"]

    @property
    def is_void_deadline(self) -> bool:
        """A deadline that meant nothing any more: without an event of its own it does not tell which one has set it."""
        return self.command["type"] == "ExpireOrder" and not self.command["events"]

    @property
    def line(self) -> str:
        """`who Command -> Event, Event`; or why it was refused."""
        said = ", ".join(event["type"] for event in self.command["events"]) or "nothing new"
        if self.command["state"] == "rejected":
            said = f"refused: {self.command['code']}"
        return f"{self.command['principal']} {self.command['type']} -> {said}"


def commands(timeline: dict[str, Any]) -> Iterator[Told]:
    """Every command, in causal order."""
    for top in timeline["commands"]:
        yield from _below(top, "", top, 0)


def _below(command: dict[str, Any], cause: str, top: dict[str, Any], depth: int) -> Iterator[Told]:
    yield Told(command, cause, top, depth)
    for event in command["events"]:
        for each in event["caused"]:
            yield from _below(each, event["type"], top, depth + 1)


def tale(timeline: dict[str, Any]) -> str:
    """The whole timeline, each command one step further in than the one whose event has caused it."""
    return "\n".join("  " * told.depth + told.line for told in commands(timeline))
