"""The rules of the vocabulary: one verb and one noun from the command to its route, its subject, its events and codes.

Each rule gives its complaints as sentences that say which word breaks it and what would keep it.
"""

import re
from collections.abc import Iterator

from common.glossary.terms import CommandTerm, ContextTerm, EventTerm, QueryTerm, ReadModelTerm
from common.subjects import is_token

WORD = re.compile(r"[A-Z][a-z0-9]*")
PARAMETER = re.compile(r"\{\w+\}")
STEM = 4
"""So many letters tell a word, however it ends: `Place` and `Placed`, `Admit` and `Admission`."""


def words(name: str) -> list[str]:
    return [word.lower() for word in WORD.findall(name)]


def plural(word: str) -> str:
    return f"{word[:-1]}ies" if word.endswith("y") else f"{word}es" if word.endswith(("s", "x")) else f"{word}s"


def same(one: str, other: str) -> bool:
    return one[:STEM] == other[:STEM] or plural(one) == other or one == plural(other)


def explained(kind: str, name: str, about: str) -> Iterator[str]:
    if not about:
        yield f"the {kind} {name} has no docstring: say in one line what it means"
    elif not about.split("\n\n")[0].rstrip().endswith((".", "!", ":")):
        yield f"the docstring of the {kind} {name} should begin with a whole sentence"


def of_context(context: ContextTerm) -> Iterator[str]:
    yield from explained("context", context.name, context.about)
    if context.about and not context.about.startswith(f"{context.name}: "):
        yield f"the docstring of the package {context.name} should begin with `{context.name}: ` and what it is about"
    keys = dict.fromkeys(command.key for command in context.commands)
    if len(keys) > 1:
        yield f"the commands of {context.name} call their key {', '.join(keys)}: one stream has one name"
    for command in context.commands:
        yield from of_command(command, context)
    for event in context.events:
        yield from of_event(event, context)


def of_command(command: CommandTerm, context: ContextTerm) -> Iterator[str]:
    yield from explained("command", command.name, command.about)
    yield from of_route(command, context)
    yield from of_subject(command, context)
    yield from of_outcome(command, context)
    if not command.route and not command.asked_by:
        yield f"{command.name} has no route, and no reaction, deadline or effect asks it: nobody can"


def of_route(command: CommandTerm, context: ContextTerm) -> Iterator[str]:
    """`PlaceOrder` is POST /orders, `CancelOrder` POST /orders/{order_id}/cancel, `ChangePrice` ends with /price."""
    if not command.route:
        return
    collection, *place = command.route.removeprefix("POST /").split("/")
    if collection not in (context.name, plural(context.name)):
        yield f"{command.name}: {command.route} should begin with /{plural(context.name)} or /{context.name}"
    if not place:
        if words(command.name)[1:] != [context.name]:
            verb = words(command.name)[0].capitalize()
            yield f"{command.name}: what is posted to /{collection} should be {verb}{context.name.capitalize()}"
        return
    key, *end = place
    if key != f"{{{command.key}}}":
        yield f"{command.name}: {command.route} should name its key, {{{command.key}}}, and not {key}"
    if [part for part in end if not PARAMETER.fullmatch(part)] not in [[each] for each in endings(command.name)]:
        wanted = " or ".join(f"/{each}" for each in endings(command.name))
        yield f"{command.name}: {command.route} should end with {wanted}"


def endings(name: str) -> list[str]:
    """Its first words; of a change, what is changed."""
    verb, *noun = words(name)
    if verb == "change":
        return ["-".join(noun)]
    return ["-".join([verb, *noun[:more]]) for more in range(len(noun) + 1)]


def of_subject(command: CommandTerm, context: ContextTerm) -> Iterator[str]:
    root, _, owner, key, name = command.subject.split(".")
    if (root, owner, key, name) != ("command", context.name, f"<{command.key}>", command.name) or not is_token(name):
        yield f"{command.name}: its subject {command.subject} does not say {context.name}, its key and its name"


def of_outcome(command: CommandTerm, context: ContextTerm) -> Iterator[str]:
    """What was asked for comes back in a word of an event; unless it is time that asks, and not a wish."""
    if odd := [code for code in command.refusals if not re.fullmatch(rf"{context.name}\.[a-z]+(-[a-z]+)*", code)]:
        yield f"{command.name} is refused with {', '.join(odd)}: a code should be {context.name}.<words-with-hyphens>"
    if not command.events:
        yield f"{command.name} leads to no event: nothing would ever come of it"
    elif command.asked_by and all(each.because.startswith("the deadline ") for each in command.asked_by):
        return
    elif not any(word.startswith(tuple(wishes(command, context))) for word in words(" ".join(command.events))):
        asked = ", ".join(sorted(wishes(command, context)))
        yield f"{command.name} leads to {', '.join(command.events)}: none of them has a word that begins with {asked}"


def wishes(command: CommandTerm, context: ContextTerm) -> set[str]:
    """The beginnings of its words. What is recorded of others is named by the noun."""
    return {word[:STEM] for word in words(command.name) if word not in ("record", context.name)}


def of_event(event: EventTerm, context: ContextTerm) -> Iterator[str]:
    yield from explained("event", event.name, event.about)
    if not event.recorded_by:
        yield f"no command of {context.name} leads to {event.name}"
    if event.subject != f"event.{context.name}.{event.name}.<stream>":
        yield f"{event.name}: its subject {event.subject} does not say {context.name} and its name"


def of_read_model(model: ReadModelTerm, module: str) -> Iterator[str]:
    yield from explained("read model", model.name, model.about)
    if model.name.replace("-", "_") != module:
        yield f"the read model {model.name} is in {module}.py: the file should have its name"
    for query in model.queries:
        yield from of_query(query, model)


def of_query(query: QueryTerm, model: ReadModelTerm) -> Iterator[str]:
    """`ListOrders` is GET /orders: every word of the route is in the query's name, or names the read model."""
    yield from explained("query", query.name, query.about)
    known = [*words(query.name), *re.split("[_-]", model.name), *([query.record] if query.record else [])]
    fixed = [part for part in query.route.removeprefix("GET /").split("/") if not PARAMETER.fullmatch(part)]
    for word in "-".join(fixed).split("-"):
        if not any(same(word, other) for other in known):
            yield f"{query.name}: {query.route} says {word}, which is no word of the query nor of {model.name}"
    if query.subject != f"query.<principal>.{query.name}":
        yield f"{query.name}: its subject {query.subject} does not say its name"
