"""Ids that follow from others: the same for ever, and by the standard."""

from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from common.recorded import NAMESPACE, derived_id
from common.subjects import parse_work, partition_of


@given(st.lists(st.text(st.characters(codec="utf-8")), max_size=5))
def test_a_derived_id_is_the_standards_own(parts: list[str]) -> None:
    assert derived_id(*parts) == str(uuid5(NAMESPACE, "\n".join(parts)))


def test_a_derived_id_never_changes() -> None:
    """It is stored, and names an order that a client asked for without an id of its own."""
    assert derived_id("alice", "c1") == "e36262d1-b25d-531b-afe7-353b1ee4bc49"


@given(st.lists(st.sampled_from(["work", "command", "a", "0", "15", "order", "PlaceOrder", "", "*"]), max_size=8))
def test_the_partition_is_what_the_whole_subject_says(tokens: list[str]) -> None:
    subject = ".".join(tokens)
    assert partition_of(subject) == parse_work(subject).partition
