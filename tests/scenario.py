"""The language of the rule tests: `given(what happened).when(what is asked).then(what happens)`.

The context is the one that knows the command. When a test fails it tells the whole story.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from common.context import Context, Known
from common.discovery import contexts
from common.messages import Command, Event, Rejected
from common.personal import fingerprint

NOW = datetime(2026, 3, 14, 15, 9, tzinfo=UTC)


def known(*roles: str, at: datetime = NOW, reference: Mapping[str, Any] | None = None) -> Known:
    """What the rules are told."""
    return Known(
        at=at, principal="somebody", roles=frozenset(roles), reference=reference or {}, fingerprint=fingerprint_of
    )


def fingerprint_of(text: str) -> str:
    """As the rules see it in tests: under a secret that is none."""
    return fingerprint(b"not a secret", text)


def given(*events: Event) -> "Given":
    """What happened so far; nothing, for a stream that is new."""
    return Given(events)


class Given:
    """A stream's past, before something is asked."""

    def __init__(self, events: Sequence[Event]) -> None:
        self.events = events

    def when(self, command: Command, told: Known | None = None) -> "Outcome":
        """Asks. Without `told`, a principal without roles asks now and the reference data is empty."""
        context = context_of(type(command))
        state = folded(context, self.events)
        answer: Sequence[Event] | Rejected
        try:
            answer = context.decide(command, state, told or known())
        except Rejected as rejected:
            answer = rejected
        return Outcome(self.events, command, answer)


class Outcome:
    """What came of it."""

    def __init__(self, events: Sequence[Event], command: Command, answer: Sequence[Event] | Rejected) -> None:
        self.events, self.command, self.answer = events, command, answer

    def then(self, *events: Event) -> None:
        """Exactly these events, in this order; none, when it changes nothing."""
        if isinstance(self.answer, Rejected) or tuple(self.answer) != events:
            raise AssertionError(self.story("then", [repr(event) for event in events]))

    def then_rejected(self, code: str, **detail: Any) -> None:
        """A rule says no, with this code; `detail` names the values that the answer must hold."""
        match self.answer:
            case Rejected(code=said, detail=held) if said == code and held | detail == held:
                return
        raise AssertionError(self.story("then rejected", [f"{code} {detail or ''}".rstrip()]))

    def story(self, wish: str, wished: list[str]) -> str:
        """The whole scenario, and what came of it."""
        match self.answer:
            case Rejected() as no:
                came = [f"rejected {no.code} {no.detail}: {no}"]
            case happened:
                came = [repr(event) for event in happened]
        parts = {
            "given": [repr(event) for event in self.events],
            "when": [repr(self.command)],
            wish: wished,
            "but it was": came,
        }
        return "\n".join(f"\n{part}\n  " + ("\n  ".join(lines) or "nothing") for part, lines in parts.items())


def folded(context: Context, events: Sequence[Event]) -> Any:
    """The state that events leave."""
    state = context.initial
    for event in events:
        state = context.evolve(state, event)
    return state


@cache
def all_contexts() -> dict[str, Context]:
    return contexts()


def context_of(command: type[Command]) -> Context:
    """The context that decides this type of command."""
    return next(context for context in all_contexts().values() if command in context.commands)
