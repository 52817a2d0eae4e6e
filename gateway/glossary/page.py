"""The page `/docs/glossary`: made at the first request, from the declarations, without anything from elsewhere."""

import asyncio
from collections.abc import Callable, Iterator

from common.glossary.gather import glossary
from common.glossary.terms import CommandTerm, ContextTerm, EventTerm, Glossary, QueryTerm, ReadModelTerm
from gateway.glossary.drawing import drawn
from gateway.glossary.layout import laid_out
from gateway.glossary.style import STYLE
from gateway.glossary.words import TABLE, code, fields, in_words, inline, link, links, paragraphs, term
from gateway.http import Answer, Asked

HEADERS = (
    (b"content-type", b"text/html; charset=utf-8"),
    (b"content-security-policy", b"default-src 'none'; style-src 'unsafe-inline'; img-src data:"),
)


class GlossaryDoor:
    """Answers the page. It is made once, in a thread: meanwhile other requests are answered."""

    def __init__(self, gather: Callable[[], Glossary] = glossary) -> None:
        self._gather, self._made = gather, asyncio.Lock()
        self._page = b""

    async def __call__(self, asked: Asked) -> Answer:
        async with self._made:
            if not self._page:
                self._page = await asyncio.to_thread(lambda: page(self._gather()).encode())
        return Answer(200, self._page, HEADERS)


def page(found: Glossary) -> str:
    names = [*(context.name for context in found.contexts), "read-models"]
    return f"""<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>Daybook glossary</title><link rel="icon" href="data:,"><style>{STYLE}</style></head>
<body><h1>Glossary</h1>
<p>Every word of the system, from its code. A <b class="commands">command</b> asks for a change and may be refused; an
<b class="events">event</b> says what has happened, for ever; a <b>query</b> reads a table that follows events.</p>
<nav>{" ".join(f'<a href="#{name}">{name.replace("-", " ")}</a>' for name in names)}</nav>
<figure>{drawn(laid_out(found), "wide")}{drawn(laid_out(found, narrow=True), "narrow")}
<figcaption><span class="events">Events</span> go to the context that follows them,
<span class="commands">commands</span> to the context that decides them; below each context the read models that it
feeds.</figcaption></figure>
{also(found)}
<main>{"".join(map(context, found.contexts))}
<section id="read-models"><h2>Read models</h2>{"".join(map(read_model, found.read_models))}</section></main>
</body></html>
"""


def also(found: Glossary) -> str:
    """Why any command may be refused, whatever the rules of its context say."""
    facts = [(code(refusal), inline(why)) for refusal, why in found.refusals.items()]
    return term("value wide", "Any command may be refused", "refusals", "", facts)


def context(found: ContextTerm) -> str:
    return (
        f'<section id="{found.name}"><h2>{found.name}</h2>{paragraphs(about(found))}'
        f"{''.join(group('Commands', (command(each, found) for each in found.commands)))}"
        f"{''.join(group('Events', (event(each, found) for each in found.events)))}"
        f"{''.join(group('Values', values(found)))}{''.join(group('By itself', by_itself(found)))}</section>"
    )


def about(found: ContextTerm) -> str:
    """Without the name that the text begins with: it is in the heading."""
    said = found.about.removeprefix(f"{found.name}: ")
    return said[:1].upper() + said[1:]


def group(title: str, articles: Iterator[str]) -> Iterator[str]:
    if inside := "".join(articles):
        yield f'<h3>{title}</h3><div class="terms">{inside}</div>'


def command(found: CommandTerm, of: ContextTerm) -> str:
    because = "; ".join(
        f'<a href="#{each.context}">{each.context}</a> on '
        + (link(each.because, each.context) if "." in each.because else each.because)
        for each in found.asked_by
    )
    return term("command", found.name, f"{of.name}.{found.name}", found.about, [
        ("route", code(found.route) if found.route else ""),
        ("roles", ", ".join(found.roles)),
        ("sent by", because),
        ("subject", code(found.subject)),
        ("fields", fields(found.fields)),
        ("leads to", links(found.events, of.name)),
        ("refused", ", ".join(map(code, found.refusals))),
    ])  # fmt: skip


def event(found: EventTerm, of: ContextTerm) -> str:
    return term("event", found.name, f"{of.name}.{found.name}", found.about, [
        ("after", links(found.recorded_by, of.name)),
        ("asks for", links(found.asks, of.name)),
        ("feeds", ", ".join(f'<a href="#{TABLE}{name}">{name}</a>' for name in found.feeds)),
        ("subject", code(found.subject)),
        ("fields", fields(found.fields)),
    ])  # fmt: skip


def values(of: ContextTerm) -> Iterator[str]:
    for found in of.values:
        yield term("value", found.name, f"{of.name}.{found.name}", found.about, [("fields", fields(found.fields))])


def by_itself(of: ContextTerm) -> Iterator[str]:
    """What a context does without being asked."""
    if of.reactions:
        said = [(link(each.event, of.name), f"⇒ {links(each.commands, of.name)}") for each in of.reactions]
        yield term("value wide", "Reactions", f"{of.name}.reactions", "What it asks because of an event.", said)
    for each in of.deadlines:
        yield term("value", f"Deadline {each.name}", f"{of.name}.deadline.{each.name}", "", [
            ("after", in_words(each.within_s)),
            ("set by", links(each.set_by, of.name)),
            ("ended by", links(each.ended_by, of.name)),
            ("asks for", links(each.asks, of.name)),
        ])  # fmt: skip
    if of.effect:
        yield term("value", "Calls outside", f"{of.name}.effect", "", [
            ("asked by", links(of.effect.events, of.name)),
            ("answered by", links(of.effect.answers, of.name)),
            ("again after", f"{in_words(of.effect.within_s)} of silence"),
        ])  # fmt: skip
    if of.copy:
        name, follows = of.copy.name, links(of.copy.follows, of.name)
        yield term("value", name, TABLE + name, of.copy.about, [("follows", follows)])


def read_model(found: ReadModelTerm) -> str:
    facts = [
        ("follows", links(found.follows, "-")),
        ("key", ", ".join(map(code, found.key))),
        ("row", fields(found.fields)),
    ]
    table = term("value", "Table", f"{TABLE}{found.name}.row", "", facts)
    return (
        f'<div id="{TABLE}{found.name}"><h3>{found.name}</h3>{paragraphs(found.about)}'
        f'<div class="terms">{table}{"".join(map(query, found.queries))}</div></div>'
    )


def query(found: QueryTerm) -> str:
    more = f"<code>/history</code>, <code>/timeline</code> and <code>as_of</code>, from the record of {found.record}"
    return term("query", found.name, found.name, found.about, [
        ("route", code(found.route)),
        ("also", more if found.record else ""),
        ("subject", code(found.subject)),
        ("fields", fields(found.fields)),
        ("answer", inline(found.answer)),
    ])  # fmt: skip
