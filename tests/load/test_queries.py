"""Every query there is is asked, in every way it can be; what a plan tells is added up."""

import random
from datetime import date
from typing import Any

import msgspec
import pytest

from common.discovery import query_handlers, read_models
from projectors.closing_stock import GetClosingStock
from projectors.sales import GetSales
from tests.load.plans import together
from tests.load.questions import Material, path_of, questions, slipped

QUERIES = list(query_handlers(read_models().values()))
WORDS = ["apple", "banana"]
PLACES = [("s1", "1"), ("s2", "2")]
VALUES: dict[str, list[Any]] = {
    "order_id": ["o1"], "customer_id": ["c1"], "customer": ["c1"], "site": ["s1", "s2"], "sku": ["1", "2"],
    "place": PLACES, "department": ["FRESH FRUIT & MORE"], "channel": ["replay"],
    "currency": ["USD"], "min_price": [500, 100], "max_price": [300, 200], "day": [date(2017, 5, 1), date(2017, 1, 9)],
    "since": [date(2017, 5, 1), date(2017, 1, 9)], "until": [date(2017, 5, 1), date(2017, 1, 9)],
    "as_of": [date(2017, 5, 1)], "word": WORDS, "part": ["ppl"], "two words": ["red apple"], "typo": ["aplpe"],
}  # fmt: skip
MATERIAL = Material(VALUES, PLACES)
ASKED = questions(QUERIES, MATERIAL)


@pytest.mark.parametrize("query", QUERIES, ids=lambda each: each.__name__)
def test_each_query_is_asked_with_each_of_its_fields(query: type[msgspec.Struct]) -> None:
    fields = {each.name for each in msgspec.structs.fields(query)} - {"limit", "after"}
    mine = [question for question in ASKED if question.query is query]
    assert {name for question in mine for params in question.asked for name in params} == fields
    assert len({question.name for question in mine}) == len(mine)


def test_what_is_asked_is_what_the_query_takes() -> None:
    for question in ASKED:
        assert len(question.structs()) == len(question.paths()) == len(question.asked)


def test_each_value_of_a_needed_field_is_asked_and_times_are_in_their_order() -> None:
    sales = [question for question in ASKED if question.query is GetSales]
    assert {params["by"] for question in sales for params in question.asked} == {
        "day", "week", "department", "site", "product"
    }  # fmt: skip
    timed = [params for question in sales for params in question.asked if {"since", "until"} <= params.keys()]
    assert timed
    assert all(params["since"] <= params["until"] for params in timed)


def test_parameters_stand_in_the_path_or_behind_it() -> None:
    path = path_of(GetClosingStock, {"day": date(2017, 1, 9), "site": "s1", "after": "a/b&c"})
    assert path == "/closing-stock/2017-01-09?site=s1&after=a%2Fb%26c"


def test_a_slip_of_the_pen_is_another_word_that_is_alike() -> None:
    for word in WORDS * 20:
        found = slipped(word, random.Random(word))
        assert found != word
        assert len(word) - 1 <= len(found) <= len(word)


def test_a_plan_tells_its_indexes_what_was_read_whole_and_how_much() -> None:
    scan = {
        "Node Type": "Index Scan", "Index Name": "orders_pkey", "Relation Name": "orders", "Actual Rows": 3.0,
        "Actual Loops": 2, "Rows Removed by Filter": 1,
    }  # fmt: skip
    whole = {"Node Type": "Seq Scan", "Relation Name": "sales", "Actual Rows": 10.0, "Actual Loops": 1}
    top = {"Node Type": "Limit", "Actual Rows": 5.0, "Actual Loops": 1, "Shared Hit Blocks": 7,
           "Shared Read Blocks": 2, "Plans": [scan, whole]}  # fmt: skip
    found = together([{"Plan": top, "Execution Time": 1.5, "Planning Time": 0.25}])
    assert (found.indexes, found.read_whole, found.read, found.given) == (["orders_pkey"], ["sales"], 18, 5)
    assert (found.pages, found.ms) == (9, 1.75)
