"""Read models whose rows are sums: folding adds up, and so does the table."""

from functools import reduce

import hypothesis.strategies as st
import pytest
from hypothesis import given
from msgspec import Struct

from common.messages import Event
from common.readmodel import Key, ReadModel, sums
from common.store.fold import Happened, fold, touched
from common.store.read_tables import Kept, Table
from tests.projectors.conftest import NOON


class Sold(Event):
    """So many of some things were sold."""

    things: dict[str, int]


class Tally(Struct, frozen=True):
    """How many of a thing were sold, and how often."""

    thing: str
    times: int
    pieces: int


def adds(stream: str, event: Sold) -> dict[Key, tuple[int, ...]]:
    return {(thing,): (1, pieces) for thing, pieces in event.things.items()}


MODEL = sums(name="tally", row=Tally, key=("thing",), follows={"shop": (Sold,)}, adds=adds)
TABLE = Table(MODEL)
EVENTS = st.lists(st.builds(Sold, st.dictionaries(st.sampled_from("abc"), st.integers(-3, 9), max_size=3)), max_size=12)


def happened(events: list[Sold]) -> list[Happened]:
    return [Happened(position, "one", "s1", position, NOON, event) for position, event in enumerate(events, 1)]


def folded(events: list[Happened], rows: dict[Key, Kept | None]) -> dict[Key, Kept | None]:
    return fold(TABLE, "shop", touched(MODEL, "shop", events), rows)


@given(EVENTS, st.integers(0, 12))
def test_what_rows_come_to_is_the_same_one_event_at_a_time_and_whatever_the_pages(
    events: list[Sold], border: int
) -> None:
    found = folded(happened(events)[border:], folded(happened(events)[:border], {}))
    one_by_one = reduce(applied, events, dict[Key, Tally]())
    assert {key: kept.row for key, kept in found.items() if kept} == one_by_one
    last = {(thing,): position for position, each in enumerate(events, 1) for thing in each.things}
    assert {key: kept.positions["shop"] for key, kept in found.items() if kept} == last


def applied(rows: dict[Key, Tally], event: Sold) -> dict[Key, Tally]:
    assert MODEL.blank
    return rows | {key: MODEL.apply(rows.get(key) or MODEL.blank(key), "s1", event) for key in MODEL.keys("s1", event)}


def test_sums_are_of_many_streams_and_carry_no_version() -> None:
    assert (MODEL.version_from, TABLE.versioned) == ("", False)


def test_the_key_comes_first_in_a_row() -> None:
    with pytest.raises(TypeError, match="must begin with its key"):
        sums(name="tally", row=Tally, key=("times",), follows={"shop": (Sold,)}, adds=adds)


def test_a_model_of_sums_is_a_read_model_like_any_other() -> None:
    assert isinstance(MODEL, ReadModel)
    assert MODEL.adds is adds
