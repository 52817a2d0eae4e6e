"""What is at hand of a table, and written in parts, is what the table is when it is read and written as a whole."""

import random
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import count

import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given
from hypothesis import settings as sized
from hypothesis import strategies as st
from msgspec import Struct
from msgspec.structs import replace

from common.config import Settings
from common.messages import Event
from common.readmodel import Key, ReadModel
from common.shell.follower import Follower
from common.store import rows
from common.store.checkpoints import begin_model
from common.store.fold import Happened, fold, touched
from common.store.pool import open_pool
from common.store.read_schema import create_tables
from common.store.read_tables import Kept, Table

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
numbers = count(1)


class Jotted(Event):
    """Somebody wrote a word on a page, and perhaps a number."""

    word: str
    number: int | None = None


class TornOut(Event):
    """The page is gone."""


class Page(Struct, frozen=True):
    """A page as it reads now."""

    name: str
    words: tuple[str, ...] = ()
    last: str = ""
    number: int | None = None


def apply(page: Page | None, stream: str, event: Event) -> Page | None:
    page = page or Page(stream)
    match event:
        case Jotted(word=word, number=None):
            return replace(page, last=word)
        case Jotted(word=word, number=number):
            return replace(page, words=(*page.words, word), last=word, number=number)
        case _:
            return None


def pages(name: str) -> ReadModel:
    return ReadModel(
        name=name,
        row=Page,
        key=("name",),
        follows={"notes": (Jotted, TornOut)},
        keys=lambda stream, event: [(stream,)],
        apply=apply,
    )


class Notes:
    """A table, and followers of it, each with what it has at hand."""

    def __init__(self, settings: Settings) -> None:
        self.model, self._settings = pages(f"pages_{next(numbers)}"), settings
        self.table = Table(self.model)

    @asynccontextmanager
    async def opened(self) -> AsyncIterator["Notes"]:
        await create_tables(self._settings.read_dsn, [self.model])
        self.pool = await open_pool(self._settings.read_dsn, "writer", 2)
        self.owner = await open_pool(self._settings.read_dsn, "owner", 2)
        await self.begin()
        try:
            yield self
        finally:
            await self.pool.close()
            await self.owner.close()

    async def begin(self) -> None:
        """Anew, with an empty table."""
        await self.owner.execute(f"DELETE FROM {self.table.name}")
        await self.owner.execute("DELETE FROM read.checkpoints WHERE model = $1", self.model.name)
        await begin_model(self.owner, self.model)
        self.followers = [Follower(self.pool, self.model, "read") for _ in range(2)]

    async def there(self) -> dict[Key, Kept]:
        kept = [self.table.kept(record) for record in await self.pool.fetch(self.table.select)]
        return {self.table.key(each.row): each for each in kept}


@pytest_asyncio.fixture
async def notes(settings: Settings) -> AsyncIterator[Notes]:
    async with Notes(settings).opened() as made:
        yield made


def happened(events: list[tuple[str, Event]], after: int = 0) -> list[Happened]:
    return [Happened(n, "one", stream, n, NOON, event) for n, (stream, event) in enumerate(events, after + 1)]


jots = st.tuples(
    st.sampled_from("abcd"),
    st.builds(Jotted, st.sampled_from(("x", "y")), st.none() | st.integers(0, 3)) | st.builds(TornOut),
)
batches = st.lists(st.tuples(st.lists(jots, min_size=1, max_size=4), st.sampled_from((0, 1))), max_size=12)


@sized(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches)
async def test_whoever_writes_in_turn_the_table_is_the_fold_of_all_events(
    notes: Notes, taken: list[tuple[list[tuple[str, Event]], int]]
) -> None:
    wanted, so_far = dict[Key, Kept | None](), list[Happened]()
    await notes.begin()
    for events, who in taken:
        batch = happened(events, len(so_far))
        so_far += batch
        await notes.followers[who].take("notes", so_far)
        assert notes.followers[who].detached == ""
        fold(notes.table, "notes", touched(notes.model, "notes", batch), wanted)
        assert await notes.there() == {key: kept for key, kept in wanted.items() if kept}


async def test_rows_at_hand_are_not_read_again_and_are_let_go_when_there_are_too_many(
    notes: Notes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rows, "MOST_ROWS", 3)
    follower = Follower(notes.pool, notes.model, "read")
    events: list[tuple[str, Event]] = [(f"p{n}", Jotted("x", n)) for n in range(5)]
    await follower.take("notes", happened(events))
    assert list(follower._rows._at_hand) == [("p2",), ("p3",), ("p4",)]
    await notes.owner.execute(f"UPDATE {notes.table.name} SET last = 'changed by hand'")
    again: list[tuple[str, Event]] = [(f"p{n}", Jotted("y", n)) for n in range(5)]
    random.Random(1).shuffle(again)
    await follower.take("notes", happened(again, 5))
    assert {kept.row.last for kept in (await notes.there()).values()} == {"y"}


async def test_only_what_changes_is_written(notes: Notes) -> None:
    follower = notes.followers[0]
    await follower.take("notes", happened([("a", Jotted("x", 1))]))
    await notes.owner.execute(f"""UPDATE {notes.table.name} SET words = '["changed by hand"]'""")
    await follower.take("notes", happened([("a", Jotted("y"))], 1))
    assert (await notes.there())[("a",)] == Kept(Page("a", ("changed by hand",), "y", 1), {"notes": 2}, 2)


async def test_rows_that_somebody_has_taken_away_stop_the_model(notes: Notes) -> None:
    follower = notes.followers[0]
    await follower.take("notes", happened([("a", Jotted("x", 1))]))
    await notes.owner.execute(f"DELETE FROM {notes.table.name}")
    await follower.take("notes", happened([("a", Jotted("y"))], 1))
    assert follower.detached.startswith("RowsMissing")
    assert (await notes.there(), follower.at("notes")) == ({}, 1)
