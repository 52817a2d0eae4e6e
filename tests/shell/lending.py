"""A small context to run the shells with: books that are lent. It has rules, claims, persons, and ways to go wrong."""

from collections.abc import Sequence
from typing import Any

from msgspec import Struct

from common.context import Claim, Context, Known
from common.messages import Command, Event, Id, Rejected, Text
from common.personal import Personal


class LendBook(Command, key="book_id", post="/books/{book_id}/lend", roles={"member"}, person="reader", frozen=True):
    book_id: Id
    reader: Id
    phone: Text = "none"
    desk: str = ""


class ReturnBook(Command, key="book_id", post="/books/{book_id}/return", roles={"member"}, frozen=True):
    book_id: Id


class RecallBook(Command, key="book_id", frozen=True):
    """From reactions only."""

    book_id: Id


class BookLent(Event, frozen=True):
    reader: str
    desk: str
    phone: Personal


class BookReturned(Event, frozen=True):
    pass


class Book(Struct, frozen=True):
    reader: str = ""
    desk: str = ""


def decide(command: Any, book: Book, known: Known) -> Sequence[Event]:
    match command:
        case LendBook(reader="crash"):
            raise ZeroDivisionError(f"a fault of the rules, near {command.phone}")
        case LendBook(reader="unstorable"):
            return [BookLent("ann", "\0", Personal("ann", {}))]
        case LendBook(reader="odd"):
            raise Rejected("book.odd", "a reason that Postgres does not take: \0")
        case LendBook() if book.reader:
            raise Rejected("book.lent", f"{command.book_id} is lent to {book.reader}", reader=book.reader)
        case LendBook():
            return [BookLent(command.reader, command.desk, Personal(command.reader, {"phone": command.phone}))]
        case _:
            return [BookReturned()] if book.reader else []


def evolve(book: Book, event: Any) -> Book:
    match event:
        case BookLent():
            return Book(event.reader, event.desk)
        case BookReturned():
            return Book()
        case _:
            return book


def claims(book: Book) -> frozenset[Claim]:
    return frozenset({Claim("desk", book.desk)}) if book.desk else frozenset()


def may_claim(command: Any, known: Known) -> list[Claim]:
    match command:
        case LendBook(reader="unstorable"):
            return [Claim("desk", "\0")]
        case LendBook(reader="wishless"):
            raise KeyError(command.phone)
        case LendBook():
            return [Claim("desk", command.desk)]
        case _:
            return []


def lending(name: str) -> Context:
    """The context under a name of its own."""
    return Context(
        name=name,
        commands=(LendBook, ReturnBook, RecallBook),
        events=(BookLent, BookReturned),
        initial=Book(),
        decide=decide,
        evolve=evolve,
        claims=claims,
        may_claim=may_claim,
        claimed="book.desk-taken",
    )
