"""How the glossary's texts become HTML: paragraphs, code, lists of names that lead to where they are explained."""

import re
from collections.abc import Iterable, Sequence
from html import escape

from common.glossary.terms import Field
from gateway.glossary.flows import owner, short

CODE = re.compile(r"`([^`]+)`")
TABLE = "table."
"""Begins the anchor of a read model: it may have the name of a context."""


def paragraphs(about: str) -> str:
    return "".join(f"<p>{inline(' '.join(part.split()))}</p>" for part in about.split("\n\n") if part.strip())


def inline(said: str) -> str:
    return CODE.sub(r"<code>\1</code>", escape(said, quote=False))


def code(said: str) -> str:
    """Code that may be broken where a name or a path has a joint."""
    return f"<code>{re.sub(r'(?<=[./_])(?=[^/])', '<wbr>', escape(said))}</code>"


def links(names: Iterable[str], here: str = "") -> str:
    """Links to messages by their full names; the context is said where it is another than before, and not `here`."""
    said, before = [], here
    for name in names:
        said.append(link(name, before))
        before = owner(name) if here else ""
    return ", ".join(said)


def link(name: str, here: str = "") -> str:
    prefix = f'<span class="of">{owner(name)}</span> ' if here and owner(name) != here else ""
    return f'{prefix}<a href="#{name}">{short(name) or name}</a>'


def fields(found: Sequence[Field]) -> str:
    return ", ".join(
        f"<code>{field.name}</code>{'' if field.needed else '?'} <i>{inline(field.type)}</i>" for field in found
    )


def term(kind: str, name: str, id_: str, about: str, facts: Iterable[tuple[str, str]]) -> str:
    """One word with what is to be said of it; facts about which nothing is to be said are left out."""
    said = "".join(f"<dt>{what}</dt><dd>{value}</dd>" for what, value in facts if value)
    return f'<article id="{id_}" class="{kind}"><h4>{name}</h4>{paragraphs(about)}<dl>{said}</dl></article>'


def in_words(seconds: float) -> str:
    """A span of time: `15 minutes`, `14 days`."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= length and seconds % length == 0:
            count = int(seconds // length)
            return f"{count} {unit if count > 1 else unit[:-1]}"
    return f"{seconds:g} s"
