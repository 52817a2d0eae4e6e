"""What a worker keeps at hand: the states used last, within a weight."""

from msgspec.structs import replace

from common.context import Snapshot
from common.shell.cache import Cache
from common.store.load import StreamState

BY_LENGTH = Snapshot(form=str, freeze=str, thaw=str, weigh=len)


def state(text: str, weight: int = 0) -> StreamState:
    return StreamState(text, 1, weight)


def kept(cache: Cache, *streams: str) -> list[str]:
    return [stream for stream in streams if cache.get(stream, 1)]


def test_what_was_not_used_for_longest_goes_first() -> None:
    cache, epochs = Cache(most=3), dict.fromkeys("abcd", 1)
    for stream in "abc":
        cache.keep({stream: state(stream, 1)}, epochs)
    cache.keep({"a": state("a", 1)}, epochs)
    cache.keep({"d": state("d", 1)}, epochs)
    assert kept(cache, *"abcd") == ["a", "c", "d"]


def test_a_state_that_weighs_itself_stays_however_long_its_stream_becomes() -> None:
    cache, epochs = Cache(BY_LENGTH, most=10), {"hot": 1, "cold": 1}
    cache.keep({"cold": state("12345")}, epochs)
    for weight in range(100):
        cache.keep({"hot": state("12345", weight)}, epochs)
    assert kept(cache, "hot", "cold") == ["hot", "cold"]
    cache.keep({"hot": state("123456")}, epochs)
    assert kept(cache, "hot", "cold") == ["hot"]


def test_a_state_is_good_for_its_epoch_alone_and_a_broken_one_for_none() -> None:
    cache = Cache()
    cache.keep({"a": state("a"), "b": replace(state("b"), broken="version 1")}, {"a": 1, "b": 1})
    assert kept(cache, "a", "b") == ["a"]
    assert cache.get("a", 2) is None


def test_what_is_cleared_weighs_nothing() -> None:
    cache = Cache(most=2)
    cache.keep({"a": state("a", 2)}, {"a": 1})
    cache.clear()
    assert kept(cache, "a") == []
    cache.keep({"b": state("b", 2)}, {"b": 1})
    assert kept(cache, "b") == ["b"]
