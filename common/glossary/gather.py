"""Gathers the glossary from what contexts and read models declare, whichever there are."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import ModuleType
from typing import Any

from common import discovery
from common.bucketmodel import BucketModel
from common.context import Claim, Context
from common.glossary.anywhere import REFUSALS
from common.glossary.kinds import about, fields, said, values
from common.glossary.reach import reach
from common.glossary.samples import sample
from common.glossary.terms import (
    Asker,
    CommandTerm,
    ContextTerm,
    Copy,
    DeadlineTerm,
    EffectTerm,
    EventTerm,
    Glossary,
    QueryTerm,
    ReactionTerm,
    ReadModelTerm,
)
from common.messages import Command, Event, Query
from common.readmodel import ReadModel
from common.subjects import command_subject, event_subject, query_subject

REACTION = "reaction"
"""The role of a context that sends a command."""


def glossary(contexts: str = "contexts", projectors: str = "projectors") -> Glossary:
    """The glossary of these packages. Raises `DiscoveryError` for a declaration that cannot work."""
    found = discovery.contexts(contexts)
    return gathered(found.values(), discovery.read_models(projectors).values())


def gathered(contexts: Iterable[Context], read_models: Iterable[ModuleType]) -> Glossary:
    contexts, read_models = tuple(contexts), tuple(read_models)
    gatherer = Gatherer(contexts, tuple(module.MODEL for module in read_models))
    return Glossary(tuple(map(gatherer.context, contexts)), tuple(map(read_model, read_models)), REFUSALS)


class Gatherer:
    """What each context says of itself, and what the others say of it."""

    def __init__(self, contexts: tuple[Context, ...], models: tuple[ReadModel | BucketModel, ...]) -> None:
        self._models = [*models, *(context.reference.model for context in contexts if context.reference)]
        self._recorded = {command: recorded(context, command) for context in contexts for command in context.commands}
        self._reactions = {context.name: dict(reactions(context)) for context in contexts}
        self._deadlines = {context.name: tuple(deadlines(context)) for context in contexts}
        self._effects = {context.name: effect(context) for context in contexts}

    def context(self, context: Context) -> ContextTerm:
        copy = context.reference and context.reference.model
        return ContextTerm(
            name=context.name,
            about=about_package(context),
            commands=tuple(self._command(context, command) for command in context.commands),
            events=tuple(self._event(context, event) for event in context.events),
            values=values((*context.commands, *context.events)),
            reactions=tuple(
                ReactionTerm(full(event), tuple(map(full, asked)))
                for event, asked in self._reactions[context.name].items()
            ),
            deadlines=self._deadlines[context.name],
            effect=self._effects[context.name],
            copy=Copy(copy.name, about(copy.row), followed(copy)) if copy else None,
        )

    def _command(self, context: Context, command: type[Command]) -> CommandTerm:
        name, declared = command.__name__, command.declared
        return CommandTerm(
            name=name,
            about=about(command),
            key=declared.key,
            route=f"POST {declared.post}" if declared.post else "",
            subject=command_subject("<principal>", context.name, f"<{declared.key}>", name),
            roles=tuple(sorted(declared.roles - {REACTION})),
            asked_by=tuple(self._askers(full(command), command)),
            fields=fields(command),
            events=tuple(map(full, self._recorded[command])),
            refusals=tuple(refusals(context, command)),
        )

    def _askers(self, name: str, command: type[Command]) -> Iterator[Asker]:
        for context, found in self._reactions.items():
            yield from (Asker(context, full(event)) for event, asked in found.items() if command in asked)
        for context, expiring in self._deadlines.items():
            yield from (Asker(context, f"the deadline {each.name}") for each in expiring if name in each.asks)
        for context, called in self._effects.items():
            if called and name in called.answers:
                yield Asker(context, "the answer from outside")

    def _event(self, context: Context, event: type[Event]) -> EventTerm:
        name = event.__name__
        found = [asked[event] for asked in self._reactions.values() if event in asked]
        return EventTerm(
            name=name,
            about=about(event),
            stream=next((command.declared.key for command in context.commands), ""),
            subject=event_subject(context.name, name, "<stream>"),
            fields=fields(event),
            recorded_by=tuple(full(command) for command, led in self._recorded.items() if event in led),
            asks=tuple(full(command) for asked in found for command in asked),
            feeds=tuple(model.name for model in self._models if full(event) in followed(model)),
        )


def full(message: type) -> str:
    """`<context>.<Name>`: a message belongs to the package that defines it."""
    return f"{message.__module__.split('.')[-2]}.{message.__name__}"


def package_of(context: Context) -> str:
    """The package in which a context's rules are: that of its vocabulary."""
    return (*context.commands, *context.events)[0].__module__.rpartition(".")[0]


def about_package(context: Context) -> str:
    return about(sys.modules[package_of(context)])


def commands_in(function: Callable[..., Any], given: type, context: Context) -> tuple[type[Command], ...]:
    return reach(function, given, package_of(context)).of(Command)


def recorded(context: Context, command: type[Command]) -> tuple[type[Event], ...]:
    """The events that a command may lead to."""
    found = reach(context.decide, command, package_of(context)).of(Event)
    return tuple(event for event in found if event in context.events)


def refusals(context: Context, command: type[Command]) -> Iterator[str]:
    """The codes of the rules that may refuse a command: texts of the form `<context>.<code>` that it comes to."""
    code, package = re.compile(rf"{context.name}\.[a-z]+(-[a-z]+)*"), package_of(context)
    yield from filter(code.fullmatch, reach(context.decide, command, package).texts)
    if Claim in reach(context.may_claim, command, package).classes:
        yield context.claimed


def reactions(context: Context) -> Iterator[tuple[type[Event], tuple[type[Command], ...]]]:
    for event, reaction in context.reactions.items():
        yield event, commands_in(reaction, event, context)


def deadlines(context: Context) -> Iterator[DeadlineTerm]:
    """What sets and ends each deadline, as said of a sample of each event."""
    said_of = {full(event): context.deadlines(sample(event)) for event in context.events}
    asks = commands_in(context.expire, Command, context) if context.expire else ()
    within: dict[str, float] = {}
    set_by: dict[str, list[str]] = {}
    ended_by: dict[str, list[str]] = {}
    for event, found in said_of.items():
        for deadline in found:
            (ended_by if deadline.within is None else set_by).setdefault(deadline.name, []).append(event)
            if deadline.within is not None:
                within[deadline.name] = deadline.within.total_seconds()
    for name, seconds in within.items():
        ended = tuple(ended_by.get(name, ()))
        yield DeadlineTerm(name, seconds, tuple(set_by[name]), ended, tuple(map(full, asks)))


def effect(context: Context) -> EffectTerm | None:
    if not (found := context.effect):
        return None
    answers = (command for event in found.events for command in commands_in(found.ask, event, context))
    return EffectTerm(tuple(map(full, found.events)), tuple(dict.fromkeys(map(full, answers))), found.within_s)


def followed(model: ReadModel | BucketModel) -> tuple[str, ...]:
    return tuple(full(event) for events in model.follows.values() for event in events)


def read_model(module: ModuleType) -> ReadModelTerm:
    model: ReadModel | BucketModel = module.MODEL
    row, key = (model.row, model.key) if isinstance(model, ReadModel) else (model.value, (model.key,))
    queries: Mapping[type[Query], Any] = module.QUERIES
    return ReadModelTerm(
        name=model.name,
        about=about(module),
        follows=followed(model),
        key=key,
        fields=fields(row),
        queries=tuple(query_term(query, module) for query in queries),
    )


def query_term(query: type[Query], module: ModuleType) -> QueryTerm:
    return QueryTerm(
        name=query.__name__,
        about=about(query),
        route=f"GET {query.get}",
        subject=query_subject("<principal>", query.__name__),
        fields=fields(query),
        answer=said(query.answer, module) if query.answer else "",
        record=query.stream,
    )
