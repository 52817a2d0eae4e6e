"""Two contexts that know each other by commands and events alone, on servers of their own, with their own rights."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import msgspec
import pytest_asyncio
from nats.aio.client import Client as Nats
from nats.aio.msg import Msg

from common.bus.connect import connect as connect_bus
from common.bus.permissions import nats_users
from common.bus.provision import provision_streams
from common.client import Client, connect
from common.config import Settings
from common.context import Context, Deadline, Known, followed_by
from common.messages import Command, Event, Id, Rejected
from common.principals import PERSONAL_DATA, ensure_principals, hash_password, load_principals
from common.questions import NoAnswer, QueryRefused
from common.recorded import Receipt
from common.servers.embedded import start_servers
from common.servers.files import data_folder, free_port
from common.servers.supervise import Supervisor
from common.shell.context_process import run_contexts
from common.shell.context_queries import context_query_types
from common.shell.timeline import Timeline, TimelineCommand, gather
from common.shell.traces import TracesAnswer
from common.store.migrate import migrate
from tests.servers import until


class BorrowBook(Command, key="book_id", post="/books/{book_id}/borrow", roles={"storefront"}):
    book_id: Id


class RecallBook(Command, key="book_id"):
    book_id: Id


class RecordFine(Command, key="book_id"):
    book_id: Id


class BookBorrowed(Event):
    pass


class BookRecalled(Event):
    pass


class ChargeFine(Command, key="book_id"):
    book_id: Id


class FineCharged(Event):
    book: str


# As another package would define them.
for kind in (ChargeFine, FineCharged):
    kind.__module__ = "contexts.fine.commands"


def lend(command: Any, state: Any, known: Known) -> list[Event]:
    match command:
        case BorrowBook():
            return [BookBorrowed()]
        case RecallBook():
            return [BookRecalled()]
        case _:
            raise Rejected("book.no-fines", "a library that wants no money")


BOOK = Context(
    name="book",
    commands=(BorrowBook, RecallBook, RecordFine),
    events=(BookBorrowed, BookRecalled),
    initial=None,
    decide=lend,
    evolve=lambda state, event: state,
    deadlines=lambda event: [Deadline("return", timedelta(days=14) if isinstance(event, BookBorrowed) else None)],
    expire=lambda book, deadline: RecallBook(book),
    reactions={
        BookRecalled: lambda book, event: [ChargeFine(book)],
        FineCharged: lambda fine, event: [RecordFine(event.book)],
    },
)
FINE = Context(
    name="fine",
    commands=(ChargeFine,),
    events=(FineCharged,),
    initial=None,
    decide=lambda command, state, known: [FineCharged(command.book_id)],
    evolve=lambda state, event: state,
)
CONTEXTS = {context.name: context for context in (BOOK, FINE)}
ROLES: Mapping[str, frozenset[str]] = {
    "storefront": frozenset({"storefront", PERSONAL_DATA}),
    "book": frozenset({"reaction"}),
    "fine": frozenset({"reaction"}),
}


@pytest_asyncio.fixture
async def library(data: Path) -> AsyncIterator[Settings]:
    """Servers for these two, with their schemas, streams and users."""
    variables = {"DAYBOOK_DATA": str(data), "DAYBOOK_NATS_PORT": str(free_port()), "DAYBOOK_DEADLINES": "return=1"}
    with data_folder(data):
        supervisor = Supervisor(data / "logs", lambda line: None)
        try:
            yield await started(supervisor, Settings.from_env(variables, running=False))
        finally:
            await supervisor.stop()


async def started(supervisor: Supervisor, settings: Settings) -> Settings:
    passwords = ensure_principals(settings, CONTEXTS).nats
    hashes = {user: hash_password(password) for user, password in passwords.items()}
    entries = load_principals(settings.principals, CONTEXTS).entries
    queries = [query.__name__ for name in CONTEXTS for query in context_query_types(name)]
    commands = {name: context.commands for name, context in CONTEXTS.items()}
    followed = {name: followed_by(context) for name, context in CONTEXTS.items()}
    users = nats_users(entries, commands, queries, hashes, followed)
    settings = await start_servers(supervisor, settings, users, list(CONTEXTS))
    await migrate(settings, CONTEXTS)
    admin = await connect_bus(settings, "admin")
    await provision_streams(admin, list(CONTEXTS))
    await admin.close()
    return settings


@asynccontextmanager
async def running(settings: Settings, *, reacting: bool = True) -> AsyncIterator[Client]:
    """Both contexts in this process, and who sends them commands."""
    work = asyncio.create_task(run_contexts(settings, list(CONTEXTS.values()), ROLES, reacting=reacting))
    try:
        async with connect(settings.nats_url, "storefront", settings.password("storefront")) as desk:
            yield desk
    finally:
        work.cancel()
        await asyncio.gather(work, return_exceptions=True)


async def borrowed(desk: Client, book: str) -> Receipt:
    return await desk.wait(await desk.send_named("book", "BorrowBook", book, b"{}"))


async def history(desk: Client, context: str, stream: str) -> list[dict[str, Any]]:
    answer = await desk.ask_named(f"{context.capitalize()}History", {"stream": stream})
    return cast(list[dict[str, Any]], answer["events"])


async def timeline(desk: Client, stream: str) -> Timeline | None:
    async def ask(context: str, fields: Mapping[str, Any]) -> TracesAnswer | None:
        answer = await desk.ask_named(f"{context.capitalize()}Traces", dict(fields))
        return msgspec.convert(answer, TracesAnswer)

    return await gather(ask, CONTEXTS, "book", stream)


async def test_a_deadline_and_what_follows_from_it_cross_the_border_and_come_back(library: Settings) -> None:
    async with running(library) as desk, hearing(library) as heard:
        receipt = await borrowed(desk, "emma")

        async def whole() -> bool:
            found = await timeline(desk, "emma")
            return found is not None and len(found.commands) == 1 and len(chain(found.commands[0])) == 4

        await until(whole)
        found = await timeline(desk, "emma")
        assert found
        way = chain(found.commands[0])
        assert [(each.context, each.type, each.principal, each.state) for each in way] == [
            ("book", "BorrowBook", "storefront", "accepted"),
            ("book", "RecallBook", "book", "accepted"),
            ("fine", "ChargeFine", "book", "accepted"),
            ("book", "RecordFine", "book", "rejected"),
        ]
        assert way[3].code == "book.no-fines"
        assert way[1].waited_ms is not None and way[1].waited_ms > 900
        (charged,) = await history(desk, "fine", "emma")
        assert charged["correlation_id"] == receipt.correlation_id
        await until(lambda: {"own", "fine", "deadlines"} <= heard.keys() and heard["deadlines"]["fired"] == 1)
        assert (heard["own"]["asked"], heard["fine"]["asked"]) == (1, 1)
        assert heard["own"]["state"] == heard["fine"]["state"] == heard["deadlines"]["state"] == "live"
        await until(lambda: heard["worker"]["tally"]["refused"] == 1)


def chain(command: TimelineCommand) -> list[TimelineCommand]:
    """A command and what followed from it, where each led to one thing at most."""
    followers = [each for event in command.events for each in event.caused]
    return [command, *(step for each in followers for step in chain(each))]


@asynccontextmanager
async def hearing(settings: Settings) -> AsyncIterator[dict[str, dict[str, Any]]]:
    """The last beats of the book's reactions, deadlines and worker."""
    heard: dict[str, dict[str, Any]] = {}
    nc: Nats = await connect_bus(settings, "gateway")

    async def hear(message: Msg) -> None:
        kind, beat = message.subject.split(".")[1], msgspec.json.decode(message.data)
        names = {"reactions": "own" if beat["context"] == "book" else beat["context"]}
        heard[names.get(kind, kind)] = beat

    await nc.subscribe("beat.*.book", cb=hear)
    yield heard
    await nc.close()


async def test_who_does_not_react_takes_commands_all_the_same_and_what_is_left_is_done_later(
    library: Settings,
) -> None:
    async with running(library, reacting=False) as desk, hearing(library) as heard:
        assert (await borrowed(desk, "emma")).state == "accepted"
        await until(lambda: heard.get("worker", {}).get("tally", {}).get("accepted") == 1)
        assert heard.keys() == {"worker", "relay"}
    async with running(library) as desk:

        async def charged() -> bool:
            with suppress(NoAnswer, QueryRefused):
                return len(await history(desk, "fine", "emma")) == 1
            return False

        await until(charged)
