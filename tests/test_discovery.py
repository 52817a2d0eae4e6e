"""A context is found because its package is there, and one that cannot work stops the start with a clear line."""

import sys
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from textwrap import dedent

import pytest

from common.discovery import DiscoveryError, commands, contexts, query_models, read_models, tables

COMMANDS = """
    from common.messages import Command, Id, Text

    class BorrowBook(Command, key="book_id", post="/books/{book_id}/borrow", roles={"reader"}):
        book_id: Id

    class ReturnBook(Command, key="book_id", post="/books/{book_id}/return", roles={"reader"}):
        book_id: Id
"""
WIRING = """
    from common.context import Context
    from HERE.commands import BorrowBook, ReturnBook

    CONTEXT = Context(
        name="book", commands=(BorrowBook, ReturnBook), events=(), initial=None,
        decide=lambda command, state, known: [], evolve=lambda state, event: state,
    )
"""
MODEL = """
    from msgspec import Struct
    from common.messages import Id, Query
    from common.readmodel import ReadModel

    class Book(Struct):
        book_id: str

    class BookById(Query, get="/books/{book_id}"):
        book_id: Id

    async def answer(query, connection): ...

    MODEL = ReadModel(
        name="NAME", row=Book, key=("book_id",), follows={}, keys=lambda stream, event: [], apply=lambda row, *_: row
    )
    QUERIES = {BookById: answer}
"""
numbers = count()
Made = Callable[[dict[str, str]], str]


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Made]:
    """Makes an importable package of files (`HERE` in them is its name) and gives its name."""
    monkeypatch.syspath_prepend(tmp_path)

    def make(files: dict[str, str]) -> str:
        name = f"made_up_{next(numbers)}"
        for path, text in {"__init__.py": "", **files}.items():
            file = tmp_path / name / path
            file.parent.mkdir(parents=True, exist_ok=True)
            (file.parent / "__init__.py").touch()
            file.write_text(dedent(text).replace("HERE", str(file.parent.relative_to(tmp_path)).replace("/", ".")))
        return name

    yield make
    for name in [name for name in sys.modules if name.startswith("made_up_")]:
        del sys.modules[name]


def test_daybooks_own_contexts_and_read_models_are_found() -> None:
    assert {"order", "product"} <= set(contexts())
    assert commands().keys() == contexts().keys()
    assert all(module.MODEL.name == name for name, module in read_models().items())


def test_a_context_is_found_by_its_package_and_its_commands_in_the_order_written(package: Made) -> None:
    made = package({"book/commands.py": COMMANDS, "book/wiring.py": WIRING, "__main__.py": "raise SystemExit"})
    assert list(contexts(made)) == ["book"]
    assert [command.__name__ for command in commands(made)["book"]] == ["BorrowBook", "ReturnBook"]


def test_the_commands_are_found_without_the_rules(package: Made) -> None:
    made = package({"book/commands.py": COMMANDS, "book/wiring.py": "raise ImportError('the gateway was here')"})
    assert list(commands(made)) == ["book"]


def test_a_command_of_another_module_is_not_this_contexts_own(package: Made) -> None:
    borrowed = COMMANDS + "    from contexts.order.commands import CancelOrder\n"
    assert len(commands(package({"book/commands.py": borrowed}))["book"]) == 2


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('key="book_id", post="/books/{book_id}/borrow", ', "", "BorrowBook declares no key"),
        (
            "        book_id: Id\n\n    class ReturnBook",
            "        book_id: Text\n\n    class ReturnBook",
            "must be an Id",
        ),
    ],
)
def test_a_command_that_could_not_be_addressed_is_refused(package: Made, old: str, new: str, said: str) -> None:
    with pytest.raises(DiscoveryError, match=said):
        commands(package({"book/commands.py": COMMANDS.replace(old, new)}))


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ('name="book"', 'name="shelf"', "must be named as its package"),
        ("commands=(BorrowBook, ReturnBook)", "commands=(BorrowBook,)", "ReturnBook must be both wired and defined"),
        ("CONTEXT =", "SOMETHING =", "holds no CONTEXT"),
    ],
)
def test_a_context_whose_wiring_does_not_fit_is_refused(package: Made, old: str, new: str, said: str) -> None:
    with pytest.raises(DiscoveryError, match=said):
        contexts(package({"book/commands.py": COMMANDS, "book/wiring.py": WIRING.replace(old, new)}))


def test_a_read_model_is_every_module_that_holds_one(package: Made) -> None:
    made = package({"books.py": MODEL.replace("NAME", "books"), "_shared.py": "ANSWER = 42"})
    assert list(read_models(made)) == ["books"]


def test_two_read_models_or_two_queries_of_one_name_are_refused(package: Made) -> None:
    with pytest.raises(DiscoveryError, match="named 'books' is there already"):
        read_models(package({"a.py": MODEL.replace("NAME", "books"), "b.py": MODEL.replace("NAME", "books")}))
    with pytest.raises(DiscoveryError, match="query named BookById already"):
        read_models(package({"a.py": MODEL.replace("NAME", "books"), "b.py": MODEL.replace("NAME", "novels")}))


def test_a_read_model_without_its_queries_is_refused(package: Made) -> None:
    with pytest.raises(DiscoveryError, match="QUERIES"):
        read_models(package({"books.py": MODEL.replace("NAME", "books").replace("QUERIES", "ANSWERS")}))


def test_a_read_model_may_be_read_with_the_tables_of_others(package: Made) -> None:
    words = MODEL.replace("NAME", "words").replace("{BookById: answer}", "{}")
    books = MODEL.replace("NAME", "books") + "    from HERE.words import MODEL as WORDS\n    READS = (WORDS,)\n"
    found = read_models(package({"books.py": books, "words.py": words}))
    (models,) = query_models(found.values()).values()
    assert [model.name for model in models] == ["books", "words"]
    assert [model.name for model in tables([found["books"]])] == ["books", "words"]
    assert [model.name for model in tables(found.values())] == ["books", "words"]


@pytest.mark.parametrize(
    ("reads", "said"),
    [
        ("(MODEL)", "READS must be a tuple of tables that its own table is read with"),
        ("('words',)", "READS must be a tuple of tables that its own table is read with"),
        ("(replace(MODEL, name='words'),)", "READS names 'words', which is no read model"),
    ],
)
def test_what_could_not_be_read_besides_is_refused(package: Made, reads: str, said: str) -> None:
    more = f"    from msgspec.structs import replace\n    READS = {reads}\n"
    with pytest.raises(DiscoveryError, match=said):
        read_models(package({"books.py": MODEL.replace("NAME", "books") + more}))


def test_deadlines_that_nothing_is_asked_for_are_a_mistake(package: Made) -> None:
    wiring = WIRING.replace("initial=None,", "initial=None, deadlines=lambda event: [],")
    made = package({"book/commands.py": COMMANDS, "book/wiring.py": wiring})
    with pytest.raises(DiscoveryError, match=r"book\.wiring: sets deadlines, but has no `expire`"):
        contexts(made)


def test_a_reaction_to_a_context_that_is_not_there_is_a_mistake(package: Made) -> None:
    events = """
        from common.messages import Event

        class FineCharged(Event):
            pass
    """
    wiring = "from HERE.elsewhere.events import FineCharged\n" + dedent(WIRING).replace(
        "initial=None,", "initial=None, reactions={FineCharged: lambda stream, event: []},"
    )
    files = {"book/commands.py": COMMANDS, "book/wiring.py": wiring, "book/elsewhere/events.py": events}
    with pytest.raises(DiscoveryError, match=r"book\.wiring: reacts to 'elsewhere', which is no context"):
        contexts(package(files))


EVENTS = """
    from common.messages import Event

    class BookBorrowed(Event):
        reader: str

    class BookReturned(Event):
        reader: str
"""


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ({"book/commands.py": COMMANDS}, r"book.wiring: is not there; it must hold CONTEXT = Context\(name='book'"),
        (
            {"book/commands.py": COMMANDS, "book/wiring.py": WIRING, "book/events.py": EVENTS},
            "book.wiring: BookBorrowed, BookReturned must be both wired and defined in .*book.events",
        ),
        (
            {"book/commands.py": COMMANDS.replace(', roles={"reader"}', "", 1), "book/wiring.py": WIRING},
            "BorrowBook is posted to /books/{book_id}/borrow, but names no roles: nobody could send it",
        ),
        (
            {"book/commands.py": COMMANDS.replace("{book_id}/borrow", "{id}/borrow"), "book/wiring.py": WIRING},
            "BorrowBook is posted to /books/{id}/borrow, which does not name its key {book_id}",
        ),
    ],
)
def test_a_context_whose_parts_do_not_fit_is_refused(package: Made, files: dict[str, str], said: str) -> None:
    with pytest.raises(DiscoveryError, match=said):
        contexts(package(files))


def test_a_module_of_read_models_without_one_is_refused(package: Made) -> None:
    with pytest.raises(DiscoveryError, match="books: holds no MODEL"):
        read_models(package({"books.py": MODEL.replace("MODEL =", "MODELL =")}))


def test_a_query_of_a_stream_that_its_model_does_not_follow_is_refused(package: Made) -> None:
    wrong = MODEL.replace("NAME", "books").replace('{book_id}"', '{book_id}", stream="bok"')
    with pytest.raises(DiscoveryError, match="BookById is of a stream of 'bok'; its model follows"):
        read_models(package({"books.py": wrong}))


def test_a_model_that_misspells_the_context_of_an_event_is_refused(package: Made) -> None:
    wrong = MODEL.replace("NAME", "orders").replace("follows={}", 'follows={"ordre": (OrderPlaced,)}')
    wrong = "\n    from contexts.order.events import OrderPlaced" + wrong
    with pytest.raises(DiscoveryError, match="follows OrderPlaced of 'ordre'; it is of 'order'"):
        read_models(package({"orders.py": wrong}))
