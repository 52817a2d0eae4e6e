"""What may be wished of an answer, and how a wish that makes no sense is refused."""

import pytest

from common.messages import Rejected
from common.shell.until import known_values
from common.shell.wish import PLAIN, After, known_contexts, position_header, wished
from projectors.orders import GetOrder, ListOrders


def test_nothing_wished_is_a_plain_wish_whatever_is_preferred() -> None:
    assert wished(None, None, "wait=5") is PLAIN


def test_an_empty_wish_is_a_clients_empty_variable_and_refused() -> None:
    with pytest.raises(Rejected, match="at `Daybook-After`"):
        wished("", None, "")
    with pytest.raises(Rejected, match="at `until`"):
        known_values(GetOrder, wished(None, "", "").until)


@pytest.mark.parametrize(
    ("text", "after"),
    [
        ("order:c-1", [After("order", "c-1")]),
        ("order:42", [After("order", "42")]),
        ("order=42", [After("order", position=42)]),
        ("order=42@0a1b2c3d", [After("order", position=42, incarnation="0a1b2c3d")]),
        ("order=42, product:p", [After("order", position=42), After("product", "p")]),
    ],
)
def test_an_answer_can_be_wished_after_a_command_or_a_position(text: str, after: list[After]) -> None:
    assert list(wished(text, None, "").after) == after


def test_a_position_that_was_told_can_be_wished_for() -> None:
    told = position_header({"product": (7, ""), "order": (42, "0a1b2c3d-0000-4000-8000-000000000000")})
    assert told == "order=42@0a1b2c3d, product=7"
    assert wished(told, None, "").after == (
        After("order", position=42, incarnation="0a1b2c3d"),
        After("product", position=7),
    )


@pytest.mark.parametrize(
    "text",
    [
        "order",
        "order:",
        ":c1",
        "order=",
        "order=x",
        "order=1@xyz",
        "order=-1",
        "order=٣",
        "a b:c",
        "order:c,",
        "order:ü",
    ],
)
def test_what_names_nothing_is_refused_with_the_header(text: str) -> None:
    with pytest.raises(Rejected, match="at `Daybook-After`"):
        wished(text, None, "")


def test_too_many_wishes_are_refused() -> None:
    with pytest.raises(Rejected, match="16 at most"):
        wished(",".join(["order:c"] * 17), None, "")


def test_an_unknown_context_is_refused() -> None:
    with pytest.raises(Rejected, match="no context named 'ordre'"):
        known_contexts(wished("ordre:c", None, ""), ["order", "product"])


@pytest.mark.parametrize(
    ("prefer", "seconds"),
    [
        ("", 1),
        ("wait=5", 5),
        ("wait=0", 0),
        ('WAIT = "5"', 5),
        ("respond-async, wait=7; x=1", 7),
        ("wait=99", 30),
        ("wait=99999999999", 30),
        ("wait=-5", 1),
        ("wait=x, wait=4", 4),
        ('foo="a, wait=2"', 1),
        ("respond-async; wait=2", 1),
        ("handling=lenient wait=0", 1),
    ],
)
def test_the_wait_is_read_as_a_preference_and_bounded(prefer: str, seconds: int) -> None:
    assert wished("order:c", None, prefer).wait_s == seconds


def test_only_states_that_there_are_can_be_waited_for() -> None:
    known_values(GetOrder, frozenset({"placed", "cancelled"}))
    with pytest.raises(Rejected, match=r"'gone' is not one of admitted, .*placed, .* - at `until`"):
        known_values(GetOrder, frozenset({"gone"}))
    with pytest.raises(Rejected, match="no state to wait for"):
        known_values(ListOrders, frozenset({"placed"}))
