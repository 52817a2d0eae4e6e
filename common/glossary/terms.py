"""What the glossary says of each kind of word. Names of messages are written `<context>.<Name>`."""

from msgspec import Struct


class Field(Struct, frozen=True):
    """A field of a message: its type in words; `needed` when it has no default."""

    name: str
    type: str
    needed: bool


class Value(Struct, frozen=True):
    """What is part of a message and has a name of its own, such as a line of an order."""

    name: str
    about: str
    fields: tuple[Field, ...]


class Asker(Struct, frozen=True):
    """A context that sends a command of itself, and because of what: an event, or one of its deadlines."""

    context: str
    because: str


class CommandTerm(Struct, frozen=True, kw_only=True):
    """A command: `route` is empty when it is taken from contexts alone, `key` names the stream that decides it.

    `events` are those it may lead to, `refusals` the codes of the rules that may refuse it: never too few, but a rule
    that looks at the state may make one of them impossible.
    """

    name: str
    about: str
    key: str
    route: str
    subject: str
    roles: tuple[str, ...]
    asked_by: tuple[Asker, ...]
    fields: tuple[Field, ...]
    events: tuple[str, ...]
    refusals: tuple[str, ...]


class EventTerm(Struct, frozen=True, kw_only=True):
    """An event: the commands that may lead to it, the commands asked because of it, the tables that it feeds."""

    name: str
    about: str
    stream: str
    subject: str
    fields: tuple[Field, ...]
    recorded_by: tuple[str, ...]
    asks: tuple[str, ...]
    feeds: tuple[str, ...]


class ReactionTerm(Struct, frozen=True):
    """What a context asks because of an event."""

    event: str
    commands: tuple[str, ...]


class DeadlineTerm(Struct, frozen=True):
    """Which events set a deadline of their stream and end it, and what is asked once it has passed."""

    name: str
    within_s: float
    set_by: tuple[str, ...]
    ended_by: tuple[str, ...]
    asks: tuple[str, ...]


class EffectTerm(Struct, frozen=True):
    """The calls to the world outside: which events ask for one, and the commands that bring the answers."""

    events: tuple[str, ...]
    answers: tuple[str, ...]
    within_s: float


class Copy(Struct, frozen=True):
    """Reference data that a context keeps of others' events, for its rules to look at."""

    name: str
    about: str
    follows: tuple[str, ...]


class ContextTerm(Struct, frozen=True, kw_only=True):
    """A bounded context."""

    name: str
    about: str
    commands: tuple[CommandTerm, ...]
    events: tuple[EventTerm, ...]
    values: tuple[Value, ...]
    reactions: tuple[ReactionTerm, ...]
    deadlines: tuple[DeadlineTerm, ...]
    effect: EffectTerm | None
    copy: Copy | None


class QueryTerm(Struct, frozen=True, kw_only=True):
    """A query. `record` names the context whose streams it is about: those have a history and a timeline too."""

    name: str
    about: str
    route: str
    subject: str
    fields: tuple[Field, ...]
    answer: str
    record: str


class ReadModelTerm(Struct, frozen=True, kw_only=True):
    """A read model: what feeds it, what a row holds, and the queries that read it."""

    name: str
    about: str
    follows: tuple[str, ...]
    key: tuple[str, ...]
    fields: tuple[Field, ...]
    queries: tuple[QueryTerm, ...]


class Glossary(Struct, frozen=True):
    """All of it. `refusals` says why any command may be refused, by code."""

    contexts: tuple[ContextTerm, ...]
    read_models: tuple[ReadModelTerm, ...]
    refusals: dict[str, str]
