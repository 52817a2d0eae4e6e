"""What a bounded context declares of itself in its `wiring`, and what its rules are told."""

from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from msgspec import Struct

from common.messages import Command, Event, context_of
from common.readmodel import ReadModel

EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)


def is_plausible(stated: datetime, accepted: datetime) -> bool:
    """Whether a stated time of business can be meant: after 1999, and at most a day ahead of when it was accepted."""
    return EARLIEST <= stated <= accepted + AHEAD


def no_fingerprint(text: str) -> str:
    raise LookupError("fingerprints are for contexts whose events hold personal data")


class Known(Struct, frozen=True, gc=False):
    """What rules may not fetch for themselves: when and by whom it was asked, and the reference data they named.

    `fingerprint(text)` tells whether two texts are the same, in whatever capitals, and not what they are: so that a
    claim on personal data need not hold it.
    """

    at: datetime
    principal: str
    roles: frozenset[str]
    reference: Mapping[str, Any] = {}
    fingerprint: Callable[[str], str] = no_fingerprint


class Claim(Struct, frozen=True, order=True, gc=False):
    """A value that one stream at most may hold, such as an e-mail. Values are compared case-folded."""

    kind: str
    value: str

    def normalised(self) -> "Claim":
        return Claim(self.kind, self.value.casefold())


class Reference(Struct, frozen=True):
    """Reference data kept in the context's own schema from another context's events: which rows a command needs."""

    model: ReadModel
    needs: Callable[[Any], Iterable[str]]


class Deadline(Struct, frozen=True, gc=False):
    """By when something must have happened to a stream, counted from the event that says so; None: it need not."""

    name: str
    within: timedelta | None


class Effect(Struct, frozen=True):
    """Calls to the world outside, each asked for by an event.

    `ask(key, stream, event)` gives the answers as commands to the same stream; one that ends without any had nothing to
    ask. `key` is the event's id and stays the same when it is asked again, which is done, at growing intervals and for
    ever, when no answer has come `within_s` seconds or `ask` raises. At most `at_once` are asked at a time.
    """

    events: tuple[type[Event], ...]
    ask: Callable[[str, str, Any], AsyncIterator[Command]]
    within_s: float = 2.0
    at_once: int = 64


class Snapshot(Struct, frozen=True):
    """How the state of a long stream is kept, so that it need not be folded from its first event.

    `form` is what is stored, made by `freeze(state)` and undone by `thaw(form)`. `shape` must be raised whenever the
    fold or the form changes: what was stored in another shape is not looked at. One is made every `every` events.
    `weigh(state)` is about how many bytes of memory the state takes, by which states are kept at hand; it is asked
    after every change and must cost nothing.
    """

    form: Any
    freeze: Callable[[Any], Any]
    thaw: Callable[[Any], Any]
    weigh: Callable[[Any], int]
    shape: int = 1
    every: int = 500


Reaction = Callable[[str, Any], Sequence[Command]]
"""What is asked because of an event, purely: `(stream, event) -> commands`."""


def no_deadlines(event: Any) -> Sequence[Deadline]:
    return ()


def no_claims(state: Any) -> frozenset[Claim]:
    return frozenset()


def claims_nothing(command: Any, known: Known) -> Iterable[Claim]:
    return ()


class Context(Struct, frozen=True, kw_only=True):
    """One bounded context: its vocabulary and its rules.

    `decide(command, state, known) -> events` may raise `Rejected`; `evolve(state, event) -> state` never fails.
    `claims(state)` names what a stream holds for itself alone: taken and freed as the state changes; a command's new
    claims must be among `may_claim(command, known)`, which are loaded beforehand, without reference data. `claimed` is
    the code of a lost claim.
    `row` is the type of the state of a CRUD context: then only the last state of each stream is kept and loaded.

    `reactions` are what is asked, of this context or of another, because of events, of this context or of another;
    `effect` calls the world outside. `deadlines(event)` sets and ends deadlines of the event's stream; when one has
    passed, `expire(stream, name)` is asked of it. `held_by(command)` names what a command crashes for: later commands
    of its key that are held by the same wait with it, the others go on; by default all wait.
    """

    name: str
    commands: tuple[type[Command], ...]
    events: tuple[type[Event], ...]
    initial: Any
    decide: Callable[[Any, Any, Known], Sequence[Event]]
    evolve: Callable[[Any, Any], Any]
    claims: Callable[[Any], frozenset[Claim]] = no_claims
    may_claim: Callable[[Any, Known], Iterable[Claim]] = claims_nothing
    claimed: str = "already-taken"
    reference: Reference | None = None
    row: type[Struct] | None = None
    reactions: Mapping[type[Event], Reaction] = {}
    effect: Effect | None = None
    deadlines: Callable[[Any], Sequence[Deadline]] = no_deadlines
    expire: Callable[[str, str], Command] | None = None
    snapshot: Snapshot | None = None
    held_by: Callable[[Any], str] | None = None


def home_of(context: Context, kind: type[Command] | type[Event]) -> str:
    """Which context a message belongs to: this one, or the one whose module defines it."""
    return context.name if kind in context.commands or kind in context.events else context_of(kind)


def reacts_to(context: Context) -> dict[str, tuple[type[Event], ...]]:
    """The events that call for reactions of this context, by the context that they are of."""
    found: dict[str, tuple[type[Event], ...]] = {}
    for event in context.reactions:
        home = home_of(context, event)
        found[home] = (*found.get(home, ()), event)
    return found


def followed_by(context: Context) -> frozenset[str]:
    """The contexts whose events this one reads, itself among them."""
    reference = context.reference.model.follows if context.reference else ()
    return frozenset({context.name, *reacts_to(context), *reference})


def crud(
    *,
    name: str,
    row: type[Struct],
    apply: Callable[[Any, Any], Any],
    records: Mapping[type[Command], type[Event]],
    claims: Callable[[Any], frozenset[Claim]] = no_claims,
    may_claim: Callable[[Any, Known], Iterable[Claim]] = claims_nothing,
    claimed: str = "already-taken",
) -> Context:
    """A context without a decider: each command is applied to the row, and its event carries the whole row after it.

    Every event type has exactly one field, the row. An unchanged row records nothing.
    """

    def decide(command: Any, state: Any, known: Known) -> Sequence[Event]:
        after = apply(command, state)
        return [] if after == state else [records[type(command)](after)]

    events = tuple(records.values())

    def evolve(state: Any, event: Any) -> Any:
        return getattr(event, event.__struct_fields__[0]) if isinstance(event, events) else state

    return Context(
        name=name,
        commands=tuple(records),
        events=events,
        initial=None,
        decide=decide,
        evolve=evolve,
        claims=lambda state: claims(state) if state is not None else frozenset(),
        may_claim=may_claim,
        claimed=claimed,
        row=row,
    )
