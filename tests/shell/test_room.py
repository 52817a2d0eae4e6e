"""A room holds so many and no more, and nobody fills it alone."""

import pytest

from common.shell.room import Full, Room


def test_one_principal_takes_a_quarter_at_most_and_leaves_room_for_others() -> None:
    room = Room(8)
    with room.place("alice"), room.place("alice"):
        with pytest.raises(Full), room.place("alice"):
            raise AssertionError
        with room.place("bob"):
            assert room.inside == 3


def test_altogether_no_more_wait_than_there_is_room_for() -> None:
    room = Room(1)
    with room.place("alice"), pytest.raises(Full), room.place("bob"):
        raise AssertionError
    assert room.inside == 0


def test_who_leaves_in_trouble_frees_a_place_too() -> None:
    room = Room(4)
    for _ in range(3):
        with pytest.raises(ZeroDivisionError), room.place("alice"):
            raise ZeroDivisionError
    assert room.inside == 0
