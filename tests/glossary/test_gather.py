"""The glossary of contexts that nobody has listed anywhere: all it says follows from what they declare."""

import msgspec
import pytest
from msgspec import Struct

from common.glossary.samples import sample
from common.glossary.terms import Asker, CommandTerm, ContextTerm, EventTerm, Field, Glossary, Value


def context(found: Glossary, name: str) -> ContextTerm:
    return next(each for each in found.contexts if each.name == name)


def command(found: Glossary, name: str) -> CommandTerm:
    return next(each for context in found.contexts for each in context.commands if each.name == name)


def event(found: Glossary, name: str) -> EventTerm:
    return next(each for context in found.contexts for each in context.events if each.name == name)


def test_every_context_is_there_with_what_its_package_says(library: Glossary) -> None:
    assert [each.name for each in library.contexts] == ["book", "fine", "reader"]
    assert context(library, "book").about == "book: what can be borrowed.\n\nAggregate: one book."


def test_a_command_says_where_it_is_sent_who_sends_it_and_what_may_come_of_it(library: Glossary) -> None:
    borrow = command(library, "BorrowBook")
    assert borrow.route == "POST /books/{book_id}/borrow"
    assert borrow.subject == "command.<principal>.book.<book_id>.BorrowBook"
    assert borrow.roles == ("reader",)
    assert borrow.asked_by == (Asker("fine", "book.BookReturned"),)
    assert borrow.events == ("book.BookBorrowed",)
    assert borrow.refusals == ("book.is-out", "book.reader-has-one")
    assert command(library, "ReturnBook").refusals == ()


def test_fields_are_said_in_the_words_of_their_module(library: Glossary) -> None:
    assert command(library, "BorrowBook").fields == (
        Field("book_id", "Id", True),
        Field("reader", "Id", True),
        Field("fee", "Money", False),
        Field("notes", "list of Note", False),
        Field("how", "`by hand` | `by post`", False),
    )
    said = [(each.name, each.type) for each in event(library, "BookBorrowed").fields]
    assert said == [("reader", "text"), ("contact", "personal data"), ("at", "time")]
    note = Value("Note", "What a reader wrote in the margin.", (
        Field("page", "Pages", True), Field("said", "Text, or nothing", False)
    ))  # fmt: skip
    assert context(library, "book").values == (note,)


def test_a_command_that_no_person_may_send_has_no_route_and_says_what_asks_it(library: Glossary) -> None:
    recall, bar = command(library, "RecallBook"), command(library, "BarReader")
    assert (recall.route, recall.roles, recall.asked_by) == ("", (), (Asker("book", "the deadline return"),))
    assert bar.asked_by == (Asker("reader", "book.BookRecalled"),)
    assert command(library, "ReturnBook").asked_by == (Asker("book", "the answer from outside"),)


def test_an_event_says_where_it_comes_from_and_where_it_goes(library: Glossary) -> None:
    recalled = event(library, "BookRecalled")
    assert recalled.recorded_by == ("book.RecallBook",)
    assert recalled.asks == ("reader.BarReader", "fine.ChargeFine")
    assert recalled.subject == "event.book.BookRecalled.<stream>"
    assert recalled.stream == "book_id"
    assert event(library, "ReaderBarred").feeds == ("loans", "barred")


def test_what_a_context_does_by_itself_is_there(library: Glossary) -> None:
    book = context(library, "book")
    (deadline,) = book.deadlines
    assert (deadline.name, deadline.within_s) == ("return", 28 * 86400)
    assert (deadline.set_by, deadline.ended_by) == (("book.BookBorrowed",), ("book.BookReturned",))
    assert deadline.asks == ("book.RecallBook",)
    assert book.effect and book.effect.events == ("book.BookRecalled",)
    assert book.effect.answers == ("book.ReturnBook",)
    assert book.copy and (book.copy.name, book.copy.follows) == ("barred", ("reader.ReaderBarred",))
    assert [(each.event, each.commands) for each in context(library, "reader").reactions] == [
        ("book.BookRecalled", ("reader.BarReader", "fine.ChargeFine"))
    ]


def test_a_read_model_says_what_feeds_it_and_who_asks_it(library: Glossary) -> None:
    (loans,) = library.read_models
    assert loans.about == "Books that are out."
    assert loans.follows == ("book.BookBorrowed", "book.BookReturned", "reader.ReaderBarred")
    (query,) = loans.queries
    assert (query.name, query.route, query.record) == ("GetLoan", "GET /loans/{book_id}", "book")
    assert (query.subject, query.answer) == ("query.<principal>.GetLoan", "Loan")


def test_it_is_plain_words_and_nothing_that_could_be_called(library: Glossary) -> None:
    assert msgspec.json.decode(msgspec.json.encode(library), type=Glossary) == library


class Odd(Struct):
    """With a field of a type that no message of ours has."""

    field: complex


def test_a_type_of_which_there_is_no_sample_is_named() -> None:
    with pytest.raises(TypeError, match="no sample of <class 'complex'>"):
        sample(Odd)
