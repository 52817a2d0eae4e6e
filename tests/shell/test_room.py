"""A waiting room: bounded, and left by everybody who entered."""

import pytest

from common.shell.room import Full, Room


def test_whoever_comes_when_the_room_is_full_does_not_enter() -> None:
    room = Room(2)
    with room, room:
        with pytest.raises(Full), room:
            raise AssertionError("entered")
        assert room.inside == 2
    assert room.inside == 0


def test_whoever_leaves_with_an_error_has_left_all_the_same() -> None:
    room = Room(1)
    with pytest.raises(ZeroDivisionError), room:
        raise ZeroDivisionError
    with room:
        assert room.inside == 1
