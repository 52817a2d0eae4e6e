"""`common` alone runs a context of ten lines that has nothing to do with commerce: a library's books."""

import asyncio
import subprocess
import sys
from pathlib import Path
from typing import Any

from common.bus.connect import connect as connect_bus
from common.bus.permissions import nats_users
from common.bus.provision import provision_streams
from common.client import connect
from common.config import PROJECT, Settings
from common.context import Context, Known
from common.messages import Command, Event, Id, Rejected
from common.principals import ensure_principals, hash_password, load_principals
from common.servers.embedded import start_servers
from common.servers.files import data_folder, free_port
from common.servers.supervise import Supervisor
from common.shell.context_process import run_contexts
from common.shell.context_queries import context_query_types
from common.store.migrate import migrate


class BorrowBook(Command, key="book_id", post="/books/{book_id}/borrow", roles={"storefront"}):
    book_id: Id
    reader: Id


class ReturnBook(Command, key="book_id", post="/books/{book_id}/return", roles={"storefront"}):
    book_id: Id


class BookBorrowed(Event):
    reader: str


class BookReturned(Event):
    pass


def decide(command: Any, reader: str, known: Known) -> list[Event]:
    if isinstance(command, ReturnBook):
        return [BookReturned()] if reader else []
    if reader:
        raise Rejected("book.borrowed", f"{reader} has it", reader=reader)
    return [BookBorrowed(command.reader)]


def evolve(reader: str, event: Any) -> str:
    return event.reader if isinstance(event, BookBorrowed) else ""


COMMANDS, EVENTS = (BorrowBook, ReturnBook), (BookBorrowed, BookReturned)
BOOK = Context(name="book", commands=COMMANDS, events=EVENTS, initial="", decide=decide, evolve=evolve)


async def started(supervisor: Supervisor, data: Path) -> Settings:
    """Servers with schema, streams and users for books alone."""
    variables = {"DAYBOOK_DATA": str(data), "DAYBOOK_NATS_PORT": str(free_port())}
    settings = Settings.from_env(variables, running=False)
    passwords = ensure_principals(settings, ["book"]).nats
    hashes = {user: hash_password(password) for user, password in passwords.items()}
    entries = load_principals(settings.principals, ["book"]).entries
    queries = [query.__name__ for query in context_query_types("book")]
    users = nats_users(entries, {"book": COMMANDS}, queries, hashes)
    settings = await start_servers(supervisor, settings, users, ["book"])
    await migrate(settings, ["book"])
    admin = await connect_bus(settings, "admin")
    await provision_streams(admin, ["book"])
    await admin.close()
    return settings


async def test_a_library_lends_its_books_on_the_same_kernel(data: Path) -> None:
    with data_folder(data):
        supervisor = Supervisor(data / "logs", lambda line: None)
        try:
            settings = await started(supervisor, data)
            running = asyncio.create_task(run_contexts(settings, [BOOK], {"storefront": frozenset({"storefront"})}))
            async with connect(settings.nats_url, "storefront", settings.password("storefront")) as desk:

                async def ask(kind: str, body: bytes) -> tuple[str, str, int]:
                    receipt = await desk.wait(await desk.send_named("book", kind, "emma", body))
                    return receipt.state, receipt.code, receipt.version

                assert await ask("BorrowBook", b'{"reader":"ann"}') == ("accepted", "", 1)
                assert await ask("BorrowBook", b'{"reader":"ben"}') == ("rejected", "book.borrowed", 1)
                assert await ask("ReturnBook", b"{}") == ("accepted", "", 2)
                assert await ask("BorrowBook", b'{"reader":"ben"}') == ("accepted", "", 3)
                history = await desk.ask_named("BookHistory", {"stream": "emma"})
            assert [event["type"] for event in history["events"]] == ["BookBorrowed", "BookReturned", "BookBorrowed"]
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
        finally:
            await supervisor.stop()


def test_the_kernel_brings_none_of_our_contexts_with_it() -> None:
    script = """
import importlib, pkgutil, sys, common
for module in pkgutil.walk_packages(common.__path__, "common."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print(sorted({name.partition(".")[0] for name in sys.modules} & {"gateway", "contexts", "projectors", "tests"}))
"""
    told = subprocess.run([sys.executable, "-c", script], cwd=PROJECT, capture_output=True, text=True, check=True)
    assert told.stdout == "[]\n"
