"""Deadlines: when one has passed it is asked what then, durably; late, twice and restarted under the same id."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.config import Settings
from common.context import Context, Deadline
from common.recorded import CAUSATION_HEADER, CORRELATION_HEADER, derived_id
from common.shell.asking import Asking
from common.shell.deadlines import MANY, Deadlines, with_durations
from common.store.deadlines import DeadlineTable
from tests.servers import until
from tests.shell.conftest import Desk, Message, numbers, open_desk
from tests.shell.lending import BookLent, BookReturned, RecallBook, lending
from tests.shell.ripples import Asked, first, stored_in
from tests.shell.test_reactions import doing

HOUR = timedelta(hours=1)
LONG_AGO = timedelta(hours=-1)


def lending_for(within: timedelta) -> Context:
    """Books that must be back in time, and are recalled when they are not."""

    def deadlines(event: Any) -> list[Deadline]:
        return [Deadline("return", within if isinstance(event, BookLent) else None)]

    return msgspec.structs.replace(
        lending(f"lending{next(numbers)}"), deadlines=deadlines, expire=lambda book, deadline: RecallBook(book)
    )


class Library(Struct, frozen=True):
    """A desk, and the stream of what its context asks."""

    desk: Desk
    nc: Client
    stream: str

    def deadlines(self, **changes: Any) -> Deadlines:
        context = msgspec.structs.replace(self.desk.context, **changes)
        return Deadlines(context, Asking(self.nc, context), DeadlineTable(self.desk.pool, self.desk.name))

    def lend(self, book: str, number: int = 0) -> Message:
        return self.desk.message(book, "LendBook", f"lend-{book}-{number}", reader="ann", desk=book)

    async def make_stream(self) -> None:
        subjects = [f"command.{self.desk.name}.{self.desk.name}.>"]
        await ask_jetstream(
            self.nc, f"STREAM.CREATE.{self.stream}", {"name": self.stream, "subjects": subjects, "allow_atomic": True}
        )

    async def asked(self) -> list[Asked]:
        return (await stored_in(self.nc, self.stream))[0]

    async def left(self) -> int:
        return await self.desk.count("deadlines")


@asynccontextmanager
async def library(settings: Settings, nc: Client, within: timedelta) -> AsyncIterator[Library]:
    async with open_desk(settings, lending_for(within)) as desk:
        made = Library(desk, nc, f"ASKED_{desk.name}")
        await made.make_stream()
        yield made
        await ask_jetstream(nc, f"STREAM.DELETE.{made.stream}", {})


@pytest_asyncio.fixture
async def patient(settings: Settings, nc: Client) -> AsyncIterator[Library]:
    async with library(settings, nc, HOUR) as made:
        yield made


@pytest_asyncio.fixture
async def hasty(settings: Settings, nc: Client) -> AsyncIterator[Library]:
    """Where every book is overdue as soon as it is lent."""
    async with library(settings, nc, LONG_AGO) as made:
        yield made


async def test_events_set_and_end_deadlines_of_their_stream(patient: Library) -> None:
    await patient.desk.settle(patient.lend("b1"), patient.lend("b2"))
    assert await patient.left() == 2
    (lent, _) = await patient.desk.reader.page(0, 2)
    row = await patient.desk.pool.fetchrow(f"SELECT * FROM {patient.desk.name}.deadlines WHERE stream = 'b1'")
    assert row["due_at"] == lent.recorded_at + HOUR
    assert (row["event_id"], row["correlation_id"]) == (lent.id, lent.correlation_id)
    await patient.desk.settle(patient.desk.message("b1", "ReturnBook", "c3"))
    assert await patient.left() == 1


async def test_what_is_set_and_ended_in_one_batch_leaves_nothing(patient: Library) -> None:
    await patient.desk.settle(
        patient.lend("b1"),
        patient.desk.message("b1", "ReturnBook", "c2"),
        patient.desk.message("b2", "ReturnBook", "c3"),
    )
    assert await patient.left() == 0


async def test_a_refused_command_sets_no_deadline(patient: Library) -> None:
    refused = patient.desk.message("b1", "LendBook", "c1", principal="guest", reader="ann")
    answers = await patient.desk.settle(refused)
    assert (answers["c1"].state, await patient.left()) == ("rejected", 0)


async def test_a_rule_for_deadlines_that_crashes_parks_its_command_alone(patient: Library) -> None:
    def crash(event: Any) -> list[Deadline]:
        return [Deadline("return", HOUR / 0)] if event.desk == "b1" else []

    desk = patient.desk
    desk.context = msgspec.structs.replace(desk.context, deadlines=crash)
    desk.worker = desk.make_worker(desk.leases)
    answers = await desk.settle(patient.lend("b1"), patient.lend("b2"))
    assert [answers[f"lend-{book}-0"].state for book in ("b1", "b2")] == ["parked", "accepted"]


async def test_a_deadline_that_has_passed_is_asked_for_and_forgotten(hasty: Library) -> None:
    await hasty.desk.settle(hasty.lend("b1"))
    (lent,) = await hasty.desk.reader.page(0, 1)
    deadlines = hasty.deadlines()
    async with doing(deadlines.run()):
        await until(lambda: deadlines.fired == 1)
    (asked,) = await hasty.asked()
    assert (asked.type, asked.key, asked.body) == ("RecallBook", "b1", {})
    assert asked.id == derived_id("b1", "return", (lent.recorded_at + LONG_AGO).isoformat())
    assert asked.headers[CAUSATION_HEADER] == lent.id
    assert asked.headers[CORRELATION_HEADER] == lent.correlation_id
    assert await hasty.left() == 0


async def test_what_is_not_due_yet_is_not_asked_for(patient: Library) -> None:
    await patient.desk.settle(patient.lend("b1"))
    assert await patient.deadlines().fire() == 0
    assert (await patient.asked(), await patient.left()) == ([], 1)


async def test_one_that_passes_while_nothing_else_happens_is_found(patient: Library) -> None:
    await patient.desk.settle(patient.lend("b1"))
    deadlines = patient.deadlines()
    async with doing(deadlines.run()):
        await patient.desk.pool.execute(f"UPDATE {patient.desk.name}.deadlines SET due_at = now() + interval '0.5 s'")
        await until(lambda: deadlines.fired == 1, within=5)


async def test_more_than_fit_in_a_batch_are_asked_for_without_a_pause(hasty: Library) -> None:
    books = [f"b{n}" for n in range(2 * MANY + 10)]
    await hasty.desk.settle(*(hasty.lend(book) for book in books))
    deadlines = hasty.deadlines()
    assert [await deadlines.fire() for _ in range(3)] == [MANY, MANY, 10]
    assert {each.key for each in await hasty.asked()} == set(books)


async def test_who_was_killed_before_it_forgot_asks_again_under_the_same_id(hasty: Library) -> None:
    await hasty.desk.settle(hasty.lend("b1"), hasty.lend("b2"))
    async with hasty.desk.owner.acquire() as connection:
        holding = connection.transaction()
        await holding.start()
        await connection.execute(f"LOCK TABLE {hasty.desk.name}.deadlines IN SHARE MODE")  # Read on, remove nothing.
        async with doing(hasty.deadlines().run()):
            await until(lambda: has_asked(hasty, 2))
        await holding.rollback()
    assert await hasty.left() == 2
    assert await hasty.deadlines().fire() == 2
    found = await hasty.asked()
    assert len(found) == 4
    assert [each.key for each in first(found)] == ["b1", "b2"]
    assert await hasty.left() == 0


async def has_asked(library: Library, count: int) -> bool:
    return len(await library.asked()) >= count


async def test_two_who_look_at_once_ask_the_same(hasty: Library) -> None:
    await hasty.desk.settle(*(hasty.lend(f"b{n}") for n in range(40)))
    one, two = hasty.deadlines(), hasty.deadlines()
    async with doing(one.run()), doing(two.run()):
        await until(lambda: none_left(hasty))
    assert len(list(first(await hasty.asked()))) == 40


async def none_left(library: Library) -> bool:
    return await library.left() == 0


async def test_one_that_is_set_anew_is_asked_for_under_another_id(hasty: Library) -> None:
    deadlines = hasty.deadlines()
    for number in range(2):
        await hasty.desk.settle(hasty.lend("b1", number))
        assert await deadlines.fire() == 1
        await hasty.desk.settle(hasty.desk.message("b1", "ReturnBook", f"back-{number}"))
    assert len({each.id for each in await hasty.asked()}) == 2


async def test_a_bus_without_room_or_stream_is_waited_for_and_shown(hasty: Library) -> None:
    await hasty.desk.settle(hasty.lend("b1"))
    await ask_jetstream(hasty.nc, f"STREAM.DELETE.{hasty.stream}", {})
    deadlines = hasty.deadlines()
    async with doing(deadlines.run()):
        await until(lambda: "Refused" in deadlines.error)
        assert (deadlines.beat()["state"], deadlines.fired, await hasty.left()) == ("red", 0, 1)
        await hasty.make_stream()
        await until(lambda: deadlines.fired == 1, within=10)
        assert deadlines.beat()["state"] == "live"
    assert len(await hasty.asked()) == 1


async def test_what_is_asked_then_crashing_is_red_and_loses_nothing(
    hasty: Library, caplog: pytest.LogCaptureFixture
) -> None:
    def crash(book: str, deadline: str) -> RecallBook:
        raise ZeroDivisionError("a fault of the code")

    await hasty.desk.settle(hasty.lend("b1"))
    deadlines = hasty.deadlines(expire=crash)
    await deadlines.run()
    assert (deadlines.beat()["state"], await hasty.left()) == ("red", 1)
    assert "a fault of the code" in deadlines.error
    assert await hasty.deadlines().fire() == 1


def test_a_deployment_gives_deadlines_other_durations() -> None:
    context = lending_for(HOUR)
    shorter = with_durations(context, {"return": timedelta(seconds=5), "other": timedelta(seconds=1)})
    lent: Any = BookLent("ann", "", None)  # type: ignore[arg-type]
    assert list(shorter.deadlines(lent)) == [Deadline("return", timedelta(seconds=5))]
    assert list(shorter.deadlines(BookReturned())) == [Deadline("return", None)]
    assert with_durations(context, {}) is context
    assert list(with_durations(context, {"other": HOUR}).deadlines(lent)) == [Deadline("return", HOUR)]
