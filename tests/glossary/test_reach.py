"""What a function may lead to is read from its source, for one type of message: never too little, seldom too much."""

from collections.abc import Callable
from functools import partial, singledispatch, wraps
from typing import Any

import pytest
from msgspec import Struct

from common.glossary import reach as reading
from common.glossary.reach import reach
from common.messages import Command, Event, Id, Rejected

PACKAGE = "tests.glossary"


class BorrowBook(Command, key="book_id"):
    book_id: Id


class ReturnBook(Command, key="book_id"):
    book_id: Id


class LendBook(Command, key="book_id"):
    book_id: Id


class BookBorrowed(Event):
    reader: str = ""


class BookReturned(Event):
    pass


class BookLost(Event):
    pass


NEW, OUT = "new", "out"
UNKNOWN_BOOK = "book.unknown"


class Shelf(Struct):
    """A state with a method that refuses."""

    name: str = ""

    def full(self) -> Rejected:
        return Rejected("book.shelf-full", self.name)


class Place:
    OUT, IN, LOST = "out", "in", "lost"


def by_case(command: Any, state: Any) -> Any:
    """Says `book.only-said`."""
    match command, state:
        case BorrowBook(), Place.IN:
            return BookBorrowed()
        case BorrowBook() | LendBook(), _ if state == "odd":
            raise Rejected("book.odd", "")
        case _, Place.IN:
            raise Rejected("book.in", "")
        case ReturnBook(), _:
            return BookReturned()
        case _:
            raise Rejected("book.out", "")


def by_test(command: Any, state: Any) -> Any:
    if isinstance(command, BorrowBook | LendBook):
        return borrowed(state)
    elif not isinstance(command, ReturnBook) and state:
        raise Rejected("book.never", "")
    found: BookLost | None = None
    assert not found
    raise Rejected(UNKNOWN_BOOK, "")


def borrowed(state: Any) -> Any:
    if state:
        return BookBorrowed()
    raise state.full()


def by_choice(command: Any, state: Any) -> Any:
    return BookBorrowed() if type(command) is BorrowBook else [BookReturned(), state and BookLost()]


def by_both(command: Any, state: Any) -> Any:
    lost = isinstance(command, ReturnBook) and BookLost()
    return lost or isinstance(command, ReturnBook) or BookReturned()


TABLE: dict[type[Command], Callable[[Any], Any]] = {
    BorrowBook: lambda state: BookBorrowed(),
    ReturnBook: partial(borrowed),
    LendBook: lambda state: BookLost(),
}


def by_table(command: Any, state: Any) -> Any:
    return TABLE[type(command)](state)


def by_table_within(command: Any, state: Any) -> Any:
    return {BorrowBook: BookBorrowed, ReturnBook: BookReturned, LendBook: BookLost}[type(command)]()


def through_all(command: Any, state: Any) -> Any:
    """Whatever kind of statement there is."""
    for _ in range(2):
        BookBorrowed()
    while state:
        BookReturned()
    with state:
        try:
            return [BookLost() for _ in state]
        except ValueError:
            raise Rejected("book.value", "") from None
        finally:
            state.close("book.close")
    raise Rejected("book.after-all", "")


def inside(command: Any, state: Any) -> Any:
    BookLost = state  # Its own variable, and no event.

    def within() -> Any:
        return BookReturned()

    return [within(), lambda: BookBorrowed(), BookLost]


def twice(function: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(function)
    def called(*args: Any) -> Any:
        return [function(*args), function(*args)]

    return called


@twice
def wrapped(command: Any, state: Any) -> Any:
    return BookLost()


@singledispatch
def dispatched(command: Any, state: Any) -> Any:
    raise Rejected(UNKNOWN_BOOK, "")


@dispatched.register
def _(command: BorrowBook, state: Any) -> Any:
    return BookBorrowed()


class Asked:
    """An object that is called."""

    def __call__(self, command: Any, state: Any) -> Any:
        return self.lost()

    def lost(self) -> Any:
        return BookLost()


def again(command: Any, state: Any) -> Any:
    return again(command, state) or BookLost()


def elsewhere(command: Any, state: Any) -> Any:
    return reading.reach(command, state, "book.text")


one, other = (lambda command, state: BookLost(), lambda command, state: BookBorrowed())


def found(function: Any, given: type = BorrowBook) -> set[str]:
    """The names of the events, and the codes."""
    read = reach(function, given, PACKAGE)
    return {kind.__name__ for kind in read.of(Event)} | {text for text in read.texts if text.startswith("book.")}


@pytest.mark.parametrize(
    ("function", "given", "expected"),
    [
        (by_case, BorrowBook, {"BookBorrowed", "book.odd", "book.out"}),
        (by_case, LendBook, {"book.odd", "book.in", "book.out"}),
        (by_case, ReturnBook, {"book.in", "BookReturned"}),
        (by_test, BorrowBook, {"BookBorrowed", "book.shelf-full"}),
        (by_test, ReturnBook, {"book.unknown"}),
        (by_choice, BorrowBook, {"BookBorrowed"}),
        (by_choice, ReturnBook, {"BookReturned", "BookLost"}),
        (by_both, BorrowBook, {"BookReturned"}),
        (by_both, ReturnBook, {"BookLost"}),
        (by_table, BorrowBook, {"BookBorrowed"}),
        (by_table, ReturnBook, {"BookBorrowed", "book.shelf-full"}),
        (by_table_within, ReturnBook, {"BookReturned"}),
        (through_all, BorrowBook, {"BookBorrowed", "BookReturned", "BookLost", "book.value", "book.close"}),
        (inside, BorrowBook, {"BookReturned", "BookBorrowed"}),
        (wrapped, BorrowBook, {"BookLost"}),
        (dispatched, BorrowBook, {"BookBorrowed"}),
        (dispatched, ReturnBook, {"book.unknown"}),
        (Asked(), BorrowBook, {"BookLost"}),
        (Asked().lost, BorrowBook, {"BookLost"}),
        (again, BorrowBook, {"BookLost"}),
        (elsewhere, BorrowBook, {"book.text"}),
        (one, BorrowBook, {"BookLost"}),
        (other, BorrowBook, {"BookBorrowed"}),
    ],
)
def test_a_function_leads_to_what_its_source_says_for_this_message(
    function: Any, given: type, expected: set[str]
) -> None:
    assert found(function, given) == expected


def test_what_has_no_source_leads_to_nothing_that_is_known() -> None:
    made: dict[str, Any] = {"BookLost": BookLost}
    exec("def decide(command, state): return BookLost()", made)
    assert found(made["decide"]) == set()
