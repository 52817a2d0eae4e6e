"""`daybook glossary`: the words of the system in a terminal, from the code, with nothing running."""

from collections.abc import Iterable, Iterator

import click
import msgspec
from rich.console import Console, Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from common.discovery import DiscoveryError
from common.glossary.gather import glossary as gathered
from common.glossary.terms import CommandTerm, ContextTerm, EventTerm, Field, Glossary, ReadModelTerm
from gateway.glossary.flows import owner, short
from gateway.glossary.page import about
from gateway.glossary.words import in_words

COMMAND, EVENT = "bold blue", "bold yellow"


@click.command()
@click.argument("context", required=False)
@click.option("--json", "plain", is_flag=True, help="Print it as JSON.")
def glossary(context: str | None, plain: bool) -> None:
    """Say what each word of the system means: commands, events, read models, queries.

    CONTEXT says all of one context, with the read models that follow it; without it, what there is of each.

    \b
    daybook glossary order
    """
    try:
        found = gathered()
    except DiscoveryError as error:
        raise click.ClickException(str(error)) from None
    names = [each.name for each in found.contexts]
    if context and context not in names:
        raise click.ClickException(f"there is no context named {context}; there are {', '.join(names)}")
    shown = of_context(found, context) if context else found
    if plain:
        click.echo(msgspec.json.encode(shown))
    else:
        Console(highlight=False).print(whole(shown) if context else summary(shown))


def of_context(found: Glossary, name: str) -> Glossary:
    """The context, and the read models that follow it."""
    models = tuple(each for each in found.read_models if name in map(owner, each.follows))
    return Glossary(tuple(each for each in found.contexts if each.name == name), models, found.refusals)


def summary(found: Glossary) -> RenderableType:
    """One table: the words of each context, a word a line."""
    table = Table(box=None, padding=(0, 2), header_style="bold")
    for column in ("context", "commands", "events", "read models"):
        table.add_column(column, no_wrap=True)
    for context in found.contexts:
        models = of_context(found, context.name).read_models
        table.add_row(
            Text(context.name, style="bold"),
            Text("\n".join(each.name for each in context.commands), style="blue"),
            Text("\n".join(each.name for each in context.events), style="yellow"),
            "\n".join(each.name for each in models) + "\n",
        )
    return Group(table, Text("daybook glossary <context> says what they mean.", style="dim"))


def whole(found: Glossary) -> RenderableType:
    parts = [*(part for each in found.contexts for part in of_one(each))]
    return Group(*parts, *(part for each in found.read_models for part in model(each)))


def of_one(context: ContextTerm) -> Iterator[RenderableType]:
    yield Text(context.name, style="bold")
    yield Padding(Text(prose(about(context))), (0, 0, 1, 0))
    yield from (part for each in context.commands for part in command(each, context.name))
    yield from (part for each in context.events for part in event(each, context.name))
    for reaction in context.reactions:
        asked = ", ".join(said(name, context.name) for name in reaction.commands)
        yield Text.assemble((said(reaction.event, context.name), EVENT), " ⇒ ", (asked, COMMAND))
    for each in context.deadlines:
        yield from word(f"deadline {each.name}", "bold", "", [
            ("after", in_words(each.within_s)),
            ("set by", names(each.set_by, context.name)),
            ("ended by", names(each.ended_by, context.name)),
            ("asks for", names(each.asks, context.name)),
        ])  # fmt: skip
    if context.effect:
        yield from word("calls outside", "bold", "", [
            ("asked by", names(context.effect.events, context.name)),
            ("answered by", names(context.effect.answers, context.name)),
        ])  # fmt: skip


def command(each: CommandTerm, here: str) -> Iterator[RenderableType]:
    return word(each.name, COMMAND, each.about, [
        ("route", each.route),
        ("roles", ", ".join(each.roles)),
        ("sent by", "; ".join(f"{asker.context} on {said(asker.because, asker.context)}" for asker in each.asked_by)),
        ("subject", each.subject),
        ("fields", fields(each.fields)),
        ("leads to", names(each.events, here)),
        ("refused", ", ".join(each.refusals)),
    ])  # fmt: skip


def event(each: EventTerm, here: str) -> Iterator[RenderableType]:
    return word(each.name, EVENT, each.about, [
        ("after", names(each.recorded_by, here)),
        ("asks for", names(each.asks, here)),
        ("feeds", ", ".join(each.feeds)),
        ("fields", fields(each.fields)),
    ])  # fmt: skip


def model(each: ReadModelTerm) -> Iterator[RenderableType]:
    yield from word(f"read model {each.name}", "bold", each.about, [
        ("follows", names(each.follows, "")),
        ("row", fields(each.fields)),
    ])  # fmt: skip
    for query in each.queries:
        facts = [("route", query.route), ("fields", fields(query.fields)), ("answer", query.answer)]
        yield from word(query.name, "bold green", query.about, facts)


def word(name: str, style: str, about: str, facts: Iterable[tuple[str, str]]) -> Iterator[RenderableType]:
    """A word, what it means, and what is to be said of it."""
    yield Text(name, style=style)
    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", no_wrap=True)
    for what, value in facts:
        if value:
            table.add_row(what, Text(value))
    yield Padding(Group(*([Text(prose(about))] if about else []), table), (0, 0, 1, 2))


def prose(said: str) -> str:
    """The paragraphs of a text, each to be broken where the terminal ends."""
    return "\n\n".join(" ".join(part.split()) for part in said.split("\n\n"))


def fields(found: Iterable[Field]) -> str:
    return ", ".join(f"{each.name}{'' if each.needed else '?'}: {each.type.replace('`', '')}" for each in found)


def names(found: Iterable[str], here: str) -> str:
    return ", ".join(said(name, here) for name in found)


def said(name: str, here: str) -> str:
    """A message by its own name within its context, by its full name elsewhere."""
    return short(name) if owner(name) == here and short(name) else name
