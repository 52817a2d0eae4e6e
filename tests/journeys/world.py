"""The six contexts without servers: their real rules, reactions, deadlines and calls, and messages that take time.

As in the running system: a stream's events are reacted to in order, each stream at its own pace; commands that the
events of one stream cause for one key keep their order, and no others do; a command is decided once by its id, however
often it comes; nothing is lost.
"""

from collections import Counter, deque
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from functools import cache
from typing import Any, Protocol

from msgspec import Struct
from msgspec.structs import replace

from common.client import body_of
from common.codec import CommandCodec, command_key, personal_fields
from common.context import Context, Known, reacts_to
from common.messages import Command, Event, Rejected, context_of
from common.personal import Personal
from common.recorded import derived_id, reaction_id
from tests.journeys.bank import Bank
from tests.scenario import NOW, fingerprint_of

SEAL = "c2VhbGVkIGFzIGEgcmVhbCBvbmUgaXMsIGFib3V0IQ=="
PATIENCE = 5_000
"""So many steps, at most, until all is at rest: more would be a circle."""


class Sent(Struct, frozen=True):
    """A command on its way. `by` is a role; `reaction` for what nobody asked but the system itself."""

    id: str
    command: Command
    by: str


class Past(Struct):
    """A stream: its events with their ids, how many there are of each kind, and the state that they leave."""

    state: Any
    events: list[tuple[str, Event]]
    kinds: Counter[type[Event]]


class Watching(Protocol):
    """Is told of everything that happens, and raises when something is wrong."""

    def saw(self, context: str, key: str, event: Event) -> None: ...

    def settled(self, world: "World", sent: Sent, context: str, key: str, events: Sequence[Event]) -> None: ...

    def refused(self, sent: Sent, code: str) -> None: ...


class World:
    """All that is recorded, and all that is under way.

    `behind` holds what was not reacted to yet: who reacts, to which stream, and how many events it has seen. `roads`
    lead from a stream to a key. `calls` are all that the bank was to be asked, `open` those that it did not answer yet.
    """

    def __init__(self, contexts: Mapping[str, Context], bank: Bank, watching: Watching) -> None:
        self.contexts, self.bank, self.watching = contexts, bank, watching
        self.reacting = [(each.name, name, set(kinds)) for each in contexts.values() for name, kinds in each_of(each)]
        self.streams: dict[tuple[str, str], Past] = {}
        self.answered: dict[str, Command] = {}
        self.places: dict[tuple[str, str, str], int] = {}
        self.behind: dict[tuple[str, str, str], None] = {}
        self.roads: dict[tuple[str, ...], deque[Sent]] = {}
        self.calls: dict[str, tuple[str, Event]] = {}
        self.open: dict[str, None] = {}
        self.deadlines: dict[tuple[str, str], Sent] = {}
        self.fired: list[Sent] = []
        self.story: list[str] = []

    def stream(self, context: str, key: str) -> Past:
        """A stream, also one that nothing has happened to."""
        found = self.streams.get((context, key))
        if found is None:
            found = self.streams[context, key] = Past(self.contexts[context].initial, [], Counter())
        return found

    @property
    def now(self) -> datetime:
        """By the clocks of those who decide, which differ by seconds."""
        decided = len(self.answered)
        return NOW + timedelta(seconds=decided - 5 * (decided % 3))

    def ask(self, command: Command, by: str) -> None:
        """Somebody asks, and is answered at once."""
        self.take(Sent(f"asked-{len(self.answered)}", command, by))

    def take(self, sent: Sent) -> None:
        """Decides a command, unless its id says that it was: then it is the same command and changes nothing."""
        if sent.id in self.answered:
            assert self.answered[sent.id] == sent.command, f"{sent.id} is the id of two commands"
            return
        told = Known(self.now, sent.by, frozenset({sent.by}), {}, fingerprint_of)
        self.answered[sent.id] = sent.command
        home, key = context_of(type(sent.command)), command_key(sent.command)
        context, past = self.contexts[home], self.stream(home, key)
        try:
            events = context.decide(sent.command, past.state, told)
        except Rejected as rejected:
            self.story.append(f"{sent.by}: {brief(sent.command)} -> refused: {rejected.code}")
            self.watching.refused(sent, rejected.code)
            return
        self.story.append(f"{sent.by}: {brief(sent.command)} -> {', '.join(map(brief, events)) or 'nothing'}")
        for n, event in enumerate(events):
            self._record(context, key, derived_id(sent.by, home, sent.id, str(n)), sealed(event))
        self.watching.settled(self, sent, home, key, events)

    def _record(self, context: Context, key: str, event_id: str, event: Event) -> None:
        past = self.stream(context.name, key)
        past.state = context.evolve(past.state, event)
        past.events.append((event_id, event))
        past.kinds[type(event)] += 1
        self.watching.saw(context.name, key, event)
        for reactor, followed, kinds in self.reacting:
            if followed == context.name and type(event) in kinds:
                self.behind[reactor, followed, key] = None
        if context.effect and isinstance(event, context.effect.events):
            self.calls[event_id] = key, event
            self.open[event_id] = None
        for deadline in context.deadlines(event):
            self.deadlines.pop((key, deadline.name), None)
            if deadline.within and context.expire:
                message = Sent(derived_id(event_id, deadline.name), context.expire(key, deadline.name), "reaction")
                self.deadlines[key, deadline.name] = message

    def react(self, place: tuple[str, str, str]) -> None:
        """Reads the next event of a stream and sends what it calls for on its way."""
        reactor, followed, key = place
        events, seen = self.streams[followed, key].events, self.places.get(place, 0)
        event_id, event = events[seen]
        self.places[place] = seen + 1
        if seen + 1 == len(events):
            del self.behind[place]
        reaction = self.contexts[reactor].reactions.get(type(event))
        for command in reaction(key, event) if reaction else ():
            name, home, there = type(command).__name__, context_of(type(command)), command_key(command)
            sent = Sent(reaction_id(event_id, name, there), through_the_door(command), "reaction")
            self.send((*place, home, there), sent)

    def see_again(self, place: tuple[str, str, str], events: int) -> None:
        """As after a crash: so many of the events that were reacted to are read once more."""
        self.places[place] -= events
        self.behind[place] = None

    def send(self, road: tuple[str, ...], sent: Sent) -> None:
        self.roads.setdefault(road, deque()).append(sent)

    def deliver(self, road: tuple[str, ...], again: bool = False) -> None:
        """The first command on this road arrives; with `again` it will come once more."""
        waiting = self.roads[road]
        sent = waiting[0] if again else waiting.popleft()
        if not waiting:
            del self.roads[road]
        self.take(sent)

    def call(self, event_id: str, well: bool, times: int) -> None:
        """Asks the bank. It says the same each time; when it is silent the call stays open."""
        key, event = self.calls[event_id]
        answers = self.bank.told(event_id, key, event, well, times)
        if answers is None:
            return
        self.open.pop(event_id, None)
        for n, command in enumerate(answers):
            sent = Sent(derived_id(event_id, type(command).__name__, key, str(n)), through_the_door(command), "payment")
            self.send((event_id, str(n)), sent)

    def fire(self, deadline: tuple[str, str]) -> None:
        """A deadline has passed. What is asked then is on its way, whatever ends the deadline meanwhile."""
        sent = self.deadlines.pop(deadline)
        self.fired.append(sent)
        self.send(("deadline", *deadline), sent)

    def come_to_rest(self) -> None:
        """All is reacted to, answered and decided; deadlines do not pass."""
        for _ in range(PATIENCE):
            if self.behind:
                self.react(next(iter(self.behind)))
            elif self.roads:
                self.deliver(next(iter(self.roads)))
            elif self.open:
                self.call(next(iter(self.open)), well=True, times=1)
            else:
                return
        raise AssertionError("it goes round in circles")


def each_of(context: Context) -> Sequence[tuple[str, tuple[type[Event], ...]]]:
    return tuple(reacts_to(context).items())


def through_the_door(command: Command) -> Command:
    """As it arrives: encoded and decoded strictly, within the limits that its type states."""
    return codec(type(command)).decode(command_key(command), body_of(command))


@cache
def codec(kind: type[Command]) -> CommandCodec:
    return CommandCodec(kind)


fields_to_seal = cache(personal_fields)


def sealed(event: Event) -> Event:
    """The event with a seal wherever there is personal data."""
    found = {name: getattr(event, name) for name in fields_to_seal(type(event))}
    seals = {name: Personal(value.person, sealed=SEAL) for name, value in found.items() if value}
    return replace(event, **seals) if seals else event


def brief(told: Any) -> str:
    """As it stands in a story: without times, addresses and what says nothing."""
    match told:
        case Struct():
            values = (brief(getattr(told, name)) for name in told.__struct_fields__)
            return f"{type(told).__name__}({', '.join(value for value in values if value)})"
        case tuple():
            return " ".join(map(brief, told))
        case str() | int():
            return str(told)
        case _:
            return ""
