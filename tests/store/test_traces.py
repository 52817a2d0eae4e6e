"""Commands are found with their events by the stream they were about, and by the wish that they go back to."""

from msgspec.structs import replace

from common.store.append import Batch, append
from common.store.traces import find
from tests.store.batches import batch, event, receipt
from tests.store.conftest import Store

MOST = 10


async def written(store: Store, *batches: Batch) -> None:
    (lease,) = await store.leases.take("w", [each for each in await store.leases.all() if each.name == "0"])
    for each in batches:
        await append(store.pool, store.name, {"0": lease.epoch}, each)


def caused(wish: str, stream: str, version: int, command_id: str) -> Batch:
    """A command that the wish has caused, with its event."""
    happened = replace(event(stream, version, command_id), correlation_id=wish)
    return batch([happened], [replace(receipt(command_id, 1), correlation_id=wish)])


async def names(store: Store, stream: str | None, *wishes: str, most: int = MOST) -> tuple[list[str], list[str], bool]:
    """Command ids and the streams of events that were found, and whether there is more."""
    found = await find(store.reader, stream, wishes, most)
    return (
        sorted(each.command_id for each in found.receipts),
        [f"{each.stream}{each.version}" for each in found.events],
        found.cut,
    )


async def test_a_stream_leads_to_the_commands_that_recorded_to_it_with_all_their_events(store: Store) -> None:
    events = [event("a", 1, "c1"), event("a", 2, "c1", 1), event("b", 1, "c2"), event("a", 3, "c3")]
    await written(store, batch(events, [receipt("c1", 2, 2), receipt("c2", 3), receipt("c3", 4)]))
    assert await names(store, "a") == (["c1", "c3"], ["a1", "a2", "a3"], False)


async def test_what_was_refused_or_changed_nothing_is_found_by_the_stream_it_was_addressed_to(store: Store) -> None:
    refused = [replace(receipt(name, 0, 0), key=key) for name, key in (("r1", "a"), ("r2", "b"), ("r3", "a"))]
    await written(store, batch([], refused))
    assert await names(store, "a") == (["r1", "r3"], [], False)


async def test_a_wish_leads_to_itself_and_to_what_it_caused_whoever_asked_for_it(store: Store) -> None:
    await written(
        store,
        batch([event("a", 1, "w")], [receipt("w", 1)]),
        caused("w", "b", 1, "c2"),
        batch([], [replace(receipt("c3", 0, 0), correlation_id="w")]),
        batch([event("c", 1, "x")], [receipt("x", 1)]),
        batch([replace(event("d", 1, "w"), principal="bob")], [replace(receipt("w", 1), principal="bob")]),
    )
    assert await names(store, None, "w") == (["c2", "c3", "w", "w"], ["a1", "b1", "d1"], False)
    assert await names(store, None, "nothing") == ([], [], False)


async def test_of_a_long_stream_the_last_are_given_and_of_a_wish_the_first_and_it_is_said(store: Store) -> None:
    stream = [(event("a", n, f"c{n}"), receipt(f"c{n}", 1)) for n in range(1, 6)]
    await written(store, *(batch([happened], [answer]) for happened, answer in stream))
    assert await names(store, "a", most=5) == (["c1", "c2", "c3", "c4", "c5"], ["a1", "a2", "a3", "a4", "a5"], False)
    assert await names(store, "a", most=3) == (["c3", "c4", "c5"], ["a3", "a4", "a5"], True)
    await written(store, *(caused("w", "b", n, f"d{n}") for n in range(1, 5)))
    assert await names(store, None, "w", most=4) == (["d1", "d2", "d3", "d4"], ["b1", "b2", "b3", "b4"], False)
    assert await names(store, None, "w", most=2) == (["d1", "d2"], ["b1", "b2"], True)
