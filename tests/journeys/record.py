"""What the contexts have recorded of some journeys, read from their stores: whether all is done, and done once."""

from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Collection, Iterable, Iterator, Mapping
from contextlib import asynccontextmanager
from itertools import chain
from typing import Any

import asyncpg
from msgspec import Struct

from common.codec import EventCodec, command_key
from common.config import Settings
from common.context import Context, home_of
from common.discovery import contexts
from common.messages import Event
from common.recorded import Receipt, Recorded, reaction_id
from common.store.fold import Undecodable, decoded
from common.store.reader import EVENT_COLUMNS, RECEIPT_COLUMNS, EventReader, receipt, recorded
from contexts.order.commands import ExpireOrder
from contexts.payment.decider import Payment

EVENTS = f"""SELECT (SELECT incarnation FROM {{s}}.head), {EVENT_COLUMNS} FROM {{s}}.events
    WHERE stream = ANY($1) ORDER BY position"""
RECEIPTS = f"SELECT {RECEIPT_COLUMNS} FROM {{s}}.receipts WHERE key = ANY($1) ORDER BY position"
WISHES = f"SELECT {RECEIPT_COLUMNS} FROM {{s}}.receipts WHERE correlation_id = ANY($1) ORDER BY position"


class Asked(Struct, frozen=True):
    """A command that an event calls for: whose reaction, of which context, about which stream, under which id."""

    by: str
    of: str
    key: str
    command_id: str

    @property
    def name(self) -> tuple[str, str, str]:
        return self.of, self.by, self.command_id


class Story(Struct, frozen=True):
    """All events and receipts of some streams, by context and in order; `happened`: each event with what it says."""

    events: dict[str, list[Recorded]]
    receipts: dict[str, list[Receipt]]
    happened: list[tuple[Recorded, Event]]

    def all_receipts(self) -> Iterator[Receipt]:
        return chain.from_iterable(self.receipts.values())

    def counted(self, context: str, stream: str = "") -> Counter[str]:
        """How often each type of event happened in one context, or in one stream of it."""
        return Counter(each.type for each in self.events[context] if stream in ("", each.stream))

    def last(self, context: str) -> int:
        """The position of the last of these events in one context; 0 when there is none."""
        return self.events[context][-1].position if self.events[context] else 0


class Record:
    """Reads the stores of all contexts."""

    def __init__(self, pools: Mapping[str, Any]) -> None:
        self.contexts = contexts()
        self.readers = {name: EventReader(pools[name], name) for name in self.contexts}

    async def story(self, streams: Collection[str]) -> Story:
        """What happened in these streams, of whatever context, and in all that their events have asked something of."""
        story, known = await self._read(streams), set(streams)
        while more := {asked.key for each, event in story.happened for asked in self.called_for(each, event)} - known:
            known |= more
            story = await self._read(known)
        return story

    async def _read(self, streams: Collection[str]) -> Story:
        events, receipts = {}, {}
        for name, reader in self.readers.items():
            events[name] = [recorded(name, row) for row in await reader.fetch(EVENTS, list(streams))]
            receipts[name] = [receipt(name, row) for row in await reader.fetch(RECEIPTS, list(streams))]
        return Story(events, receipts, [(each, said(name, each)) for name, them in events.items() for each in them])

    async def led_to(self, correlations: Iterable[str]) -> dict[tuple[str, str, str], Receipt]:
        """The receipts of all commands that go back to these wishes, by context, principal and command id."""
        wishes = list(correlations)
        found = [
            receipt(name, row) for name, reader in self.readers.items() for row in await reader.fetch(WISHES, wishes)
        ]
        return {name_of(each): each for each in found}

    def unfinished(self, story: Story) -> list[str]:
        """What is asked for and not answered: reactions without a receipt, calls without an outcome."""
        known = {name_of(each) for each in story.all_receipts()}
        missing = [
            f"{each.type} of {each.stream} asks {asked.of} about {asked.key}: {asked.command_id}"
            for each, event in story.happened
            for asked in self.called_for(each, event)
            if asked.name not in known
        ]
        return missing + [f"the payment of {order} is {what}" for order, what in open_calls(story)]

    def called_for(self, origin: Recorded, event: Event) -> Iterator[Asked]:
        """What the reactions of all contexts ask for because of an event."""
        for context in self.contexts.values():
            reaction = context.reactions.get(type(event))
            for command in reaction(origin.stream, event) if reaction else ():
                key = command_key(command)
                name = reaction_id(origin.id, type(command).__name__, key)
                yield Asked(context.name, home_of(context, type(command)), key, name)

    def strays(self, story: Story) -> list[str]:
        """Commands of reactions that no event calls for, or that do not say to which wish they go back."""
        called = {
            asked.name: each.correlation_id for each, event in story.happened for asked in self.called_for(each, event)
        }
        reacting = {name for name, context in self.contexts.items() if context.reactions}
        return [
            f"{each.context}: {each.type} {each.key} of {each.principal} goes back to {each.correlation_id}"
            for each in story.all_receipts()
            if each.principal in reacting and each.type != ExpireOrder.__name__
            if called.get(name_of(each)) != each.correlation_id
        ]


def name_of(receipt: Receipt) -> tuple[str, str, str]:
    """Of which context, by whom, under which id: of this there is one."""
    return receipt.context, receipt.principal, receipt.command_id


@asynccontextmanager
async def opened(settings: Settings) -> AsyncIterator[Record]:
    pools = {dsn: await asyncpg.create_pool(dsn, min_size=0, max_size=4) for dsn in dsns(settings).values()}
    try:
        yield Record({name: pools[dsn] for name, dsn in dsns(settings).items()})
    finally:
        for pool in pools.values():
            await pool.close()


def dsns(settings: Settings) -> dict[str, str]:
    return {name: settings.write_dsn(name) for name in contexts()}


def said(context: str, event: Recorded) -> Event:
    """What an event says. What nobody understands fails the test."""
    found = decoded(codec(context), event).event
    assert found is not None and not isinstance(found, Undecodable), (event.type, found)
    return found


CODECS: dict[str, EventCodec] = {}


def codec(context: str) -> EventCodec:
    if context not in CODECS:
        CODECS[context] = EventCodec(contexts()[context].events)
    return CODECS[context]


def open_calls(story: Story) -> Iterator[tuple[str, str]]:
    """The payments that wait for the provider, and for what."""
    for order, payment in folded(contexts()["payment"], story).items():
        assert isinstance(payment, Payment)
        letting_go = payment.void if payment.authorisation.done else None
        for what, call in (
            ("authorised", payment.authorisation),
            ("captured", payment.capture),
            ("let go", letting_go),
        ):
            if call and call.awaited:
                yield order, f"not yet {what}"
        if any(refund.call.awaited for refund in payment.refunds):
            yield order, "not yet paid back"


def folded(context: Context, story: Story) -> dict[str, Any]:
    """The states of a context's streams."""
    states: dict[str, Any] = defaultdict(lambda: context.initial)
    for each, event in story.happened:
        if each.context == context.name:
            states[each.stream] = context.evolve(states[each.stream], event)
    return states
