"""Command, route, subject, event, code and document use the same words: what `tests.words` asks for holds."""

from typing import Any

import pytest
from msgspec.structs import replace

from common.discovery import read_models
from common.glossary.gather import glossary
from common.glossary.terms import Asker, CommandTerm, ContextTerm, EventTerm, QueryTerm, ReadModelTerm
from tests import words

FOUND = glossary()
MODULES = {name: module.__name__.rpartition(".")[2] for name, module in read_models().items()}

PLACE = CommandTerm(
    name="PlaceOrder", about="Order.", key="order_id", route="POST /orders",
    subject="command.<principal>.order.<order_id>.PlaceOrder", roles=("storefront",), asked_by=(), fields=(),
    events=("order.OrderPlaced",), refusals=("order.already-placed",),
)  # fmt: skip
CANCEL = replace(
    PLACE, name="CancelOrder", route="POST /orders/{order_id}/cancel", events=("order.OrderCancelled",),
    subject="command.<principal>.order.<order_id>.CancelOrder",
)  # fmt: skip
PLACED = EventTerm(
    name="OrderPlaced", about="It is ordered.", stream="order_id", subject="event.order.OrderPlaced.<stream>",
    fields=(), recorded_by=("order.PlaceOrder",), asks=(), feeds=(),
)  # fmt: skip
ORDER = ContextTerm(
    name="order", about="order: what was asked for.", commands=(PLACE, CANCEL), events=(PLACED,), values=(),
    reactions=(), deadlines=(), effect=None, copy=None,
)  # fmt: skip
GET = QueryTerm(
    name="GetOrder", about="One order.", route="GET /orders/{order_id}", subject="query.<principal>.GetOrder",
    fields=(), answer="OrderView", record="",
)  # fmt: skip
ORDERS = ReadModelTerm(
    name="orders", about="Orders.", follows=("order.OrderPlaced",), key=("order_id",), fields=(), queries=(GET,)
)


@pytest.mark.parametrize("context", FOUND.contexts, ids=lambda each: each.name)
def test_a_context_keeps_to_its_words(context: ContextTerm) -> None:
    assert "\n".join(words.of_context(context)) == ""


@pytest.mark.parametrize("model", FOUND.read_models, ids=lambda each: each.name)
def test_a_read_model_keeps_to_its_words(model: ReadModelTerm) -> None:
    assert "\n".join(words.of_read_model(model, MODULES[model.name])) == ""


def test_words_that_agree_are_no_matter_for_complaint() -> None:
    assert list(words.of_context(ORDER)) == []
    assert list(words.of_read_model(ORDERS, "orders")) == []


@pytest.mark.parametrize(
    ("name", "route", "events"),
    [
        ("ReportFailedAttempt", "POST /orders/{order_id}/report-failed-attempt", "order.AttemptFailed"),
        ("ReturnToSender", "POST /orders/{order_id}/return", "order.OrderReturned"),
        ("ChangePrice", "POST /orders/{order_id}/price", "order.PriceChanged"),
        ("ConfirmOrder", "POST /order/{order_id}/confirm", "order.OrderConfirmed"),
        ("RemoveLine", "POST /orders/{order_id}/remove/{sku}", "order.LineRemoved"),
        ("AdmitOrder", "POST /orders/{order_id}/admit", "order.AdmissionGranted"),
    ],
)
def test_a_command_may_be_called_so(name: str, route: str, events: str) -> None:
    subject = f"command.<principal>.order.<order_id>.{name}"
    command = replace(CANCEL, name=name, route=route, subject=subject, events=(events,))
    assert list(words.of_command(command, ORDER)) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"about": ""}, "the command CancelOrder has no docstring: say in one line what it means"),
        ({"about": "stop it"}, "the docstring of the command CancelOrder should begin with a whole sentence"),
        ({"route": "POST /baskets/{order_id}/cancel"},
         "CancelOrder: POST /baskets/{order_id}/cancel should begin with /orders or /order"),
        ({"route": "POST /orders/{order_id}/stop"},
         "CancelOrder: POST /orders/{order_id}/stop should end with /cancel or /cancel-order"),
        ({"route": "POST /orders/{order_id}"},
         "CancelOrder: POST /orders/{order_id} should end with /cancel or /cancel-order"),
        ({"route": "POST /orders/{id}/cancel"},
         "CancelOrder: POST /orders/{id}/cancel should name its key, {order_id}, and not {id}"),
        ({"subject": "command.<principal>.order.<order_id>.StopOrder"},
         "CancelOrder: its subject command.<principal>.order.<order_id>.StopOrder does not say order, its key and its "
         "name"),
        ({"refusals": ("delivery.has-left",)},
         "CancelOrder is refused with delivery.has-left: a code should be order.<words-with-hyphens>"),
        ({"refusals": ("already-taken",)},
         "CancelOrder is refused with already-taken: a code should be order.<words-with-hyphens>"),
        ({"events": ()}, "CancelOrder leads to no event: nothing would ever come of it"),
        ({"events": ("order.OrderStopped",)},
         "CancelOrder leads to order.OrderStopped: none of them has a word that begins with canc"),
        ({"route": ""}, "CancelOrder has no route, and no reaction, deadline or effect asks it: nobody can"),
    ],
)  # fmt: skip
def test_a_command_whose_words_do_not_agree_is_told_so(changes: Any, complaint: str) -> None:
    assert list(words.of_command(replace(CANCEL, **changes), ORDER)) == [complaint]


def test_what_makes_a_new_one_is_named_after_it() -> None:
    basket = replace(PLACE, name="PlaceBasket", subject="command.<principal>.order.<order_id>.PlaceBasket")
    assert list(words.of_command(basket, ORDER)) == ["PlaceBasket: what is posted to /orders should be PlaceOrder"]


def test_what_time_asks_for_may_come_back_in_other_words() -> None:
    asked = {"route": "", "asked_by": (Asker("order", "the deadline payment"),), "events": ("order.OrderStopped",)}
    assert list(words.of_command(replace(CANCEL, **asked), ORDER)) == []


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"about": ""}, "the event OrderPlaced has no docstring: say in one line what it means"),
        ({"recorded_by": ()}, "no command of order leads to OrderPlaced"),
        ({"subject": "event.shop.OrderPlaced.<stream>"},
         "OrderPlaced: its subject event.shop.OrderPlaced.<stream> does not say order and its name"),
    ],
)  # fmt: skip
def test_an_event_whose_words_do_not_agree_is_told_so(changes: Any, complaint: str) -> None:
    assert list(words.of_event(replace(PLACED, **changes), ORDER)) == [complaint]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"about": ""}, "the context order has no docstring: say in one line what it means"),
        ({"about": "What was asked for."},
         "the docstring of the package order should begin with `order: ` and what it is about"),
        ({"commands": (PLACE, replace(CANCEL, key="id", route="", asked_by=(Asker("order", "order.OrderPlaced"),),
                                      subject="command.<principal>.order.<id>.CancelOrder"))},
         "the commands of order call their key order_id, id: one stream has one name"),
    ],
)  # fmt: skip
def test_a_context_whose_words_do_not_agree_is_told_so(changes: Any, complaint: str) -> None:
    assert list(words.of_context(replace(ORDER, **changes))) == [complaint]


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"about": ""}, "the query GetOrder has no docstring: say in one line what it means"),
        ({"route": "GET /baskets/{order_id}"},
         "GetOrder: GET /baskets/{order_id} says baskets, which is no word of the query nor of orders"),
        ({"subject": "query.<principal>.OrderById"},
         "GetOrder: its subject query.<principal>.OrderById does not say its name"),
    ],
)  # fmt: skip
def test_a_query_whose_words_do_not_agree_is_told_so(changes: Any, complaint: str) -> None:
    assert list(words.of_query(replace(GET, **changes), ORDERS)) == [complaint]


def test_a_read_model_is_explained_and_has_its_files_name() -> None:
    assert list(words.of_read_model(replace(ORDERS, about=""), "sales")) == [
        "the read model orders has no docstring: say in one line what it means",
        "the read model orders is in sales.py: the file should have its name",
    ]
