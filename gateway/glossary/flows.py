"""Who sends what to whom: the arrows of the context map."""

from collections.abc import Iterator
from typing import Literal

from msgspec import Struct

from common.glossary.terms import ContextTerm, Glossary

Kind = Literal["events", "commands"]


class Flow(Struct, frozen=True):
    """Messages of one kind that go from one context to another. `names` are full: `<context>.<Name>`."""

    source: str
    target: str
    kind: Kind
    names: tuple[str, ...]


def flows(glossary: Glossary) -> tuple[Flow, ...]:
    """Every flow between two contexts, each once: who follows whose events, who sends commands to whom."""
    found: dict[tuple[str, str, Kind], dict[str, None]] = {}
    for context in glossary.contexts:
        for source, target, kind, name in messages(context):
            if source != target:
                found.setdefault((source, target, kind), {})[name] = None
    return tuple(Flow(*way, tuple(names)) for way, names in found.items())


def messages(context: ContextTerm) -> Iterator[tuple[str, str, Kind, str]]:
    """What goes to a context because it reacts, and what it then asks."""
    me = context.name
    for event in context.copy.follows if context.copy else ():
        yield owner(event), me, "events", event
    for reaction in context.reactions:
        yield owner(reaction.event), me, "events", reaction.event
        for command in reaction.commands:
            yield me, owner(command), "commands", command


def owner(name: str) -> str:
    """The context that a message belongs to."""
    return name.partition(".")[0]


def short(name: str) -> str:
    return name.partition(".")[2]
