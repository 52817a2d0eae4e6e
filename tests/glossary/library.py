"""A library: three made-up contexts and a read model, as a stranger would write them, to be found as packages."""

BOOK_COMMANDS = '''
"""What may be asked of a book."""

from typing import Annotated, Literal

from msgspec import Meta, Struct

from common.messages import Command, Id, Money, Text

Pages = Annotated[int, Meta(ge=1)]


class Note(Struct, frozen=True):
    """What a reader wrote in the margin."""

    page: Pages
    said: Text | None = None


class BorrowBook(
    Command, key="book_id", post="/books/{book_id}/borrow", roles={"reader", "reaction"}, example={}
):
    """Take it home. <b>Nobody</b> else has it then."""

    book_id: Id
    reader: Id
    fee: Money = 0
    notes: tuple[Note, ...] = ()
    how: Literal["by hand", "by post"] = "by hand"


class ReturnBook(Command, key="book_id", post="/books/{book_id}/return", roles={"reader"}, example={}):
    """Bring it back."""

    book_id: Id


class RecallBook(Command, key="book_id"):
    """It has been out for too long."""

    book_id: Id
'''
BOOK_EVENTS = '''
"""What happened to a book."""

from datetime import datetime

from common.messages import Event
from common.personal import Personal


class BookBorrowed(Event, kw_only=True):
    """It is out."""

    reader: str
    contact: Personal
    at: datetime


class BookReturned(Event):
    """It is back."""


class BookRecalled(Event):
    """It is wanted back."""
'''
BOOK_WIRING = '''
from datetime import timedelta

from common.context import Claim, Context, Deadline, Effect, Reference
from common.messages import Rejected
from common.readmodel import ReadModel
from msgspec import Struct
from HERE.commands import BorrowBook, RecallBook, ReturnBook
from HERE.events import BookBorrowed, BookRecalled, BookReturned
from PACKAGE.reader.events import ReaderBarred


class Barred(Struct):
    """Who may borrow nothing."""

    reader: str


def decide(command, state, known):
    match command:
        case BorrowBook() if state:
            raise Rejected("book.is-out", "it is out")
        case BorrowBook():
            return [BookBorrowed(reader=command.reader, contact=None, at=known.at)]
        case ReturnBook():
            return [BookReturned()]
        case _:
            return [BookRecalled()]


def deadlines(event):
    match event:
        case BookBorrowed():
            return [Deadline("return", timedelta(days=28))]
        case BookReturned():
            return [Deadline("return", None)]
        case _:
            return []


async def ask(key, stream, event):
    yield ReturnBook(stream)


BARRED = ReadModel(
    name="barred", row=Barred, key=("reader",), follows={"reader": (ReaderBarred,)},
    keys=lambda stream, event: [(stream,)], apply=lambda row, stream, event: Barred(stream),
)
CONTEXT = Context(
    name="book", commands=(BorrowBook, ReturnBook, RecallBook), events=(BookBorrowed, BookReturned, BookRecalled),
    initial=None, decide=decide, evolve=lambda state, event: event,
    may_claim=lambda command, known: [Claim("reader", command.reader)] if isinstance(command, BorrowBook) else [],
    claimed="book.reader-has-one", deadlines=deadlines, expire=lambda stream, name: RecallBook(stream),
    effect=Effect(events=(BookRecalled,), ask=ask), reference=Reference(BARRED, lambda command: ()),
)
'''
READER_COMMANDS = '''
from common.messages import Command, Id


class BarReader(Command, key="reader"):
    """Lend this reader nothing any more."""

    reader: Id
'''
READER_EVENTS = '''
from common.messages import Event


class ReaderBarred(Event):
    """Nothing is lent any more."""
'''
READER_WIRING = """
from common.context import Context
from HERE.commands import BarReader
from HERE.events import ReaderBarred
from HERE.process import REACTIONS

CONTEXT = Context(
    name="reader", commands=(BarReader,), events=(ReaderBarred,), initial=None,
    decide=lambda command, state, known: [ReaderBarred()], evolve=lambda state, event: event, reactions=REACTIONS,
)
"""
READER_PROCESS = """
from HERE.commands import BarReader
from PACKAGE.book.events import BookRecalled
from PACKAGE.fine.commands import ChargeFine

REACTIONS = {BookRecalled: lambda stream, event: [BarReader("r1"), ChargeFine(stream)]}
"""
FINE_COMMANDS = '''
from common.messages import Command, Id


class ChargeFine(Command, key="fine_id", post="/fines/{fine_id}/charge", roles={"reaction"}):
    """Ask for money."""

    fine_id: Id
'''
FINE_EVENTS = '''
from common.messages import Event


class FineCharged(Event):
    """Money is asked for."""
'''
FINE_WIRING = """
from common.context import Context
from HERE.commands import ChargeFine
from HERE.events import FineCharged
from PACKAGE.book.commands import BorrowBook
from PACKAGE.book.events import BookReturned

CONTEXT = Context(
    name="fine", commands=(ChargeFine,), events=(FineCharged,), initial=None,
    decide=lambda command, state, known: [FineCharged()], evolve=lambda state, event: event,
    reactions={BookReturned: lambda stream, event: [ChargeFine(stream), BorrowBook(stream, "")]},
)
"""
CONTEXTS = {
    "book/__init__.py": '"""book: what can be borrowed.\n\nAggregate: one book.\n"""\n',
    "book/commands.py": BOOK_COMMANDS,
    "book/events.py": BOOK_EVENTS,
    "book/wiring.py": BOOK_WIRING,
    "fine/__init__.py": '"""fine: what is owed."""\n',
    "fine/commands.py": FINE_COMMANDS,
    "fine/events.py": FINE_EVENTS,
    "fine/wiring.py": FINE_WIRING,
    "reader/__init__.py": '"""reader: who borrows."""\n',
    "reader/commands.py": READER_COMMANDS,
    "reader/events.py": READER_EVENTS,
    "reader/process.py": READER_PROCESS,
    "reader/wiring.py": READER_WIRING,
}
READ_MODEL = '''
"""Books that are out."""

from msgspec import Struct

from CONTEXTS.book.events import BookBorrowed, BookReturned
from CONTEXTS.reader.events import ReaderBarred
from common.messages import Id, Query
from common.readmodel import ReadModel


class Loan(Struct):
    """A book that is out."""

    book_id: str
    reader: str


class GetLoan(Query, get="/loans/{book_id}", stream="book", answer=Loan):
    """One book that is out."""

    book_id: Id


async def get_loan(query, connection): ...


MODEL = ReadModel(
    name="loans", row=Loan, key=("book_id",), follows={"book": (BookBorrowed, BookReturned), "reader": (ReaderBarred,)},
    keys=lambda stream, event: [(stream,)], apply=lambda row, stream, event: row,
)
QUERIES = {GetLoan: get_loan}
'''
