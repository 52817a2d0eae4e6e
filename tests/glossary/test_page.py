"""The glossary's page and its map: complete, offline, and with nothing on top of anything else."""

import re
from collections.abc import Iterator
from itertools import combinations
from typing import Any

import pytest
from msgspec.structs import replace

from common.glossary.gather import glossary
from common.glossary.terms import Glossary, ReactionTerm
from gateway.glossary.drawing import drawn
from gateway.glossary.flows import Flow, flows
from gateway.glossary.layout import LETTER, LINE, Arrow, Box, Layout, laid_out
from gateway.glossary.page import GlossaryDoor, page
from gateway.glossary.words import in_words, links

DAYBOOK = glossary()
ASKED: Any = None
Rectangle = tuple[float, float, float, float]
"""Left, top, right, bottom."""


def with_talk_around_the_hub() -> Glossary:
    """Daybook, if some of its contexts talked to each other and not to order alone."""
    more = {
        "customer": [
            ("payment.PaymentRefunded", "customer.SuspendCustomer"),
            ("stock.StockCounted", "stock.CountStock"),
        ],
        "payment": [("delivery.DeliveryReturned", "delivery.CancelDelivery")],
        "stock": [("delivery.DeliveryAttemptFailed", "delivery.ReturnToSender")],
    }
    contexts = (
        replace(each, reactions=(*each.reactions, *(ReactionTerm(on, (ask,)) for on, ask in more.get(each.name, ()))))
        for each in DAYBOOK.contexts
    )
    takings = replace(
        DAYBOOK.read_models[0], name="takings", follows=("order.OrderPaid", "stock.StockCounted"), queries=()
    )
    return Glossary(tuple(contexts), (*DAYBOOK.read_models, takings), {})


@pytest.fixture(params=["daybook", "around", "library", "alone", "nothing to say"])
def found(request: pytest.FixtureRequest, library: Glossary) -> Glossary:
    match request.param:
        case "around":
            return with_talk_around_the_hub()
        case "library":
            return library
        case "alone":
            return Glossary(DAYBOOK.contexts[:1], (), {})
        case "nothing to say":
            return Glossary(tuple(replace(each, reactions=(), copy=None) for each in DAYBOOK.contexts), (), {})
        case _:
            return DAYBOOK


def test_every_word_is_on_the_page_and_every_link_leads_to_one(found: Glossary) -> None:
    html = page(found)
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    for context in found.contexts:
        names = [each.name for each in context.commands] + [each.name for each in context.events]
        assert {context.name, *(f"{context.name}.{name}" for name in names)} <= {*ids}
        assert all(code in re.sub("<wbr>", "", html) for each in context.commands for code in each.refusals)
    for model in found.read_models:
        assert {f"table.{model.name}", *(query.name for query in model.queries)} <= {*ids}
    if found.read_models and len(found.contexts) > 1:  # Of a part of a system some links lead to nothing.
        assert set(re.findall(r'href="#([^"]+)"', html)) <= {*ids}


def test_the_page_says_why_any_command_may_be_refused() -> None:
    said = "<code>version-mismatch</code></dt><dd>the stream has another version than <code>If-Match</code> says</dd>"
    assert said in page(DAYBOOK)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [(900, "15 minutes"), (86400, "1 day"), (14 * 86400, "14 days"), (7200, "2 hours"), (90, "90 s"), (2.5, "2.5 s")],
)
def test_a_span_of_time_is_said_in_the_largest_unit_that_fits(seconds: float, said: str) -> None:
    assert in_words(seconds) == said


def test_a_list_names_a_context_where_it_changes() -> None:
    said = re.sub("<.*?>", "", links(("order.OrderPlaced", "stock.StockCounted", "stock.StockReserved"), "order"))
    assert said == "OrderPlaced, stock StockCounted, StockReserved"


def test_the_page_needs_nothing_from_elsewhere_and_runs_nothing() -> None:
    html = page(DAYBOOK)
    assert not re.findall(r"https?:|<script|<img|@import|\burl\((?!#)|\bsrc=", html)
    assert {each for each in re.findall(r'href="([^#"][^"]*)"', html)} == {"data:,"}


def test_what_a_text_says_is_never_taken_for_html(library: Glossary) -> None:
    html = page(library)
    assert "&lt;b&gt;Nobody&lt;/b&gt;" in html
    assert "command.<wbr>&lt;principal&gt;" in html


def test_the_arrows_are_who_follows_whom_and_who_sends_to_whom(library: Glossary) -> None:
    assert set(flows(library)) == {
        Flow("reader", "book", "events", ("reader.ReaderBarred",)),
        Flow("book", "fine", "events", ("book.BookReturned",)),
        Flow("fine", "book", "commands", ("book.BorrowBook",)),
        Flow("book", "reader", "events", ("book.BookRecalled",)),
        Flow("reader", "fine", "commands", ("fine.ChargeFine",)),
    }


def rectangle(box: Box) -> Rectangle:
    return box.x, box.y, box.x + box.width, box.y + box.height


def labels(arrow: Arrow) -> Iterator[Rectangle]:
    x, bottom = arrow.at
    for up, name in enumerate(reversed(arrow.flow.names)):
        half, base = LETTER * len(name.partition(".")[2]) / 2, bottom - LINE * up
        yield x - half, base - 11, x + half, base + 3


def apart(one: Rectangle, other: Rectangle) -> bool:
    return one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]


def everything(layout: Layout) -> list[Rectangle]:
    boxes = [rectangle(box) for box in (*layout.contexts, *layout.read_models)]
    return boxes + [label for arrow in layout.arrows for label in labels(arrow)]


@pytest.mark.parametrize("narrow", [False, True])
def test_nothing_on_the_map_lies_on_anything_else_or_outside(found: Glossary, narrow: bool) -> None:
    layout = laid_out(found, narrow)
    things = everything(layout)
    assert [(one, other) for one, other in combinations(things, 2) if not apart(one, other)] == []
    points = [(x, y, x, y) for arrow in layout.arrows for x, y in arrow.points]
    inside = [(a >= 0 and b >= 0 and c <= layout.width and d <= layout.height) for a, b, c, d in [*things, *points]]
    assert all(inside)


@pytest.mark.parametrize("narrow", [False, True])
def test_every_arrow_goes_from_its_context_to_the_other_and_through_no_box(found: Glossary, narrow: bool) -> None:
    layout = laid_out(found, narrow)
    boxes = {box.name: box for box in layout.contexts}
    assert {arrow.flow for arrow in layout.arrows} == set(flows(found)) or len(found.contexts) == 1
    for arrow in layout.arrows:
        for name, (x, y) in ((arrow.flow.source, arrow.points[0]), (arrow.flow.target, arrow.points[-1])):
            left, top, right, bottom = rectangle(boxes[name])
            assert x in (left, right)
            assert top <= y <= bottom
        for (x1, y1), (x2, y2) in zip(arrow.points, arrow.points[1:], strict=False):
            line = (min(x1, x2) + 0.1, min(y1, y2), max(x1, x2) - 0.1, max(y1, y2))
            assert all(apart(line, rectangle(box)) for box in (*layout.contexts, *layout.read_models))


def test_the_same_declarations_give_the_same_map(found: Glossary) -> None:
    assert drawn(laid_out(found), "wide") == drawn(laid_out(found), "wide")


def test_a_narrow_map_fits_a_phone() -> None:
    assert laid_out(DAYBOOK, narrow=True).width * 0.75 <= 360


async def test_the_page_is_made_at_the_first_request_and_kept() -> None:
    asked = 0

    def gather() -> Glossary:
        nonlocal asked
        asked += 1
        return DAYBOOK

    door = GlossaryDoor(gather)
    assert asked == 0
    first, second = await door(ASKED), await door(ASKED)
    assert first.body == second.body == page(DAYBOOK).encode()
    assert asked == 1


async def test_a_page_that_could_not_be_made_is_tried_again() -> None:
    found: list[Glossary] = []
    door = GlossaryDoor(lambda: found[0])
    with pytest.raises(IndexError):
        await door(ASKED)
    found.append(DAYBOOK)
    assert (await door(ASKED)).status == 200
