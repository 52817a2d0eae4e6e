"""A read model in a bucket (P8): whoever keeps it, and whatever becomes of it, it holds the fold of the record."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import msgspec
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given
from hypothesis import settings as budget
from hypothesis import strategies as st

from common.bus.api import ask_jetstream
from common.bus.bucket import FOLD_HEADER, Progress
from common.bus.pull import Puller
from common.config import PROJECT
from common.messages import Event
from common.servers.embedded import child_environment
from common.shell.keeper import Keeper
from common.store.fold import decoded, followed
from tests.servers import until
from tests.shell.pots import Kitchen, Pot, pot_apply, pots
from tests.shell.toys import Added, Emptied
from tests.shell.worlds import World


@pytest_asyncio.fixture
async def kitchen(world: World) -> AsyncIterator[Kitchen]:
    made = Kitchen(world)
    yield made
    await made.close()


def drops(count: int, pots: int = 5) -> list[tuple[str, Event]]:
    return [
        (f"pot-{i % pots}", Emptied() if i % 11 == 10 else Added(i, "red" if i % 2 else "blue")) for i in range(count)
    ]


@asynccontextmanager
async def watched(kitchen: Kitchen) -> AsyncIterator[list[tuple[str, int]]]:
    """What a watcher sees of each value that is put: its key, and the position that it reflects."""
    seen: list[tuple[str, int]] = []

    async def watch() -> None:
        puller = Puller(kitchen.nc, kitchen.bucket.stream, [f"$KV.{kitchen.model.name}.*"], 1)
        while True:
            for message in await puller.take(256, 5):
                position = (message.headers or {})[FOLD_HEADER].split()[1]
                seen.append((message.subject.rsplit(".", 1)[1], int(position)))

    task = asyncio.create_task(watch())
    try:
        yield seen
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def none_goes_back(seen: list[tuple[str, int]]) -> bool:
    last: dict[str, int] = {}
    for key, position in seen:
        if position < last.get(key, 0):
            return False
        last[key] = position
    return True


async def test_events_become_values(kitchen: Kitchen) -> None:
    async with kitchen.kept() as keeper:
        await kitchen.record(*drops(40))
        await until(lambda: kitchen.reached(40))
        assert await kitchen.values() == await kitchen.wanted()
        await kitchen.record(("pot-0", Added(7)))
        await until(lambda: kitchen.reached(41))
        assert await kitchen.values() == await kitchen.wanted()
        assert (keeper.lost, keeper.stopped, keeper.trouble) == (0, "", {})
        (beat,) = keeper.beats()
        assert (beat.model, beat.context, beat.position, beat.version) == (
            kitchen.model.name,
            kitchen.world.name,
            41,
            1,
        )


async def test_a_value_says_its_version_and_its_position_and_no_header_of_messages(kitchen: Kitchen) -> None:
    async with kitchen.kept():
        await kitchen.record(("pot-0", Added(1)), ("pot-1", Added(2)), ("pot-0", Added(3)))
        await until(lambda: kitchen.reached(3))
    entry = await (await kitchen.nc.jetstream().key_value(kitchen.model.name)).get("pot-0")
    assert msgspec.json.decode(entry.value or b"", type=Pot) == Pot("pot-0", 4, ["blue", "blue"], version=2, position=3)
    message = await kitchen.nc.jetstream().get_last_msg(kitchen.bucket.stream, f"$KV.{kitchen.model.name}.pot-0")
    assert FOLD_HEADER in (message.headers or {})
    assert "Daybook-Version" not in (message.headers or {})


async def test_a_value_that_is_no_more_is_marked_as_gone(kitchen: Kitchen) -> None:
    async with kitchen.kept():
        await kitchen.record(("pot-0", Added(1)), ("pot-0", Emptied()))
        await until(lambda: kitchen.reached(2))
        assert await kitchen.bucket.get(kitchen.nc, "pot-0") is None
        await kitchen.record(("pot-0", Added(5)))
        await until(lambda: kitchen.reached(3))
        assert await kitchen.values() == await kitchen.wanted()


async def test_what_lies_under_the_key_of_a_stream_that_begins_is_replaced(kitchen: Kitchen) -> None:
    async with kitchen.kept() as keeper:
        await kitchen.record(("pot-0", Added(1)))
        await until(lambda: kitchen.reached(1))
        await kitchen.nc.jetstream().publish(f"$KV.{kitchen.model.name}.pot-1", b"no value of ours")
        await kitchen.record(("pot-1", Added(2)), ("pot-0", Added(3)))
        await until(lambda: kitchen.reached(3))
        assert await kitchen.values() == await kitchen.wanted()
        assert (keeper.stopped, keeper.trouble) == ("", {})


async def test_more_than_a_server_takes_as_one_batch_is_put_in_turn(kitchen: Kitchen) -> None:
    await kitchen.record(*drops(1300, pots=1300))
    await kitchen.world.publish(*await kitchen.world.reader.page(1000, 1000))
    async with kitchen.kept(batch=5000):
        await until(lambda: kitchen.reached(1300))
        assert await kitchen.values() == await kitchen.wanted()


async def test_values_that_are_long_are_put_before_their_place(kitchen: Kitchen) -> None:
    await kitchen.record(*((f"pot-{i}", Added(i, "red" * 10_000)) for i in range(40)))
    async with kitchen.kept(batch=40):
        await until(lambda: kitchen.reached(40))
        assert await kitchen.values() == await kitchen.wanted()


async def test_two_keepers_are_as_good_as_one(kitchen: Kitchen) -> None:
    async with kitchen.kept(batch=3) as one, kitchen.kept(batch=5) as two, watched(kitchen) as seen:
        for _ in range(4):
            await kitchen.record(*drops(100))
        await until(lambda: kitchen.reached(400))
        assert await kitchen.values() == await kitchen.wanted()
        assert one.lost + two.lost > 0
        assert (one.stopped, two.stopped) == ("", "")
    assert none_goes_back(seen)


@pytest.mark.parametrize("pots", [5, 40])
async def test_values_that_are_ahead_of_their_place_do_not_go_back(kitchen: Kitchen, pots: int) -> None:
    """As after a crash between the values and the place behind them; also where a stream's first event comes again."""
    async with kitchen.kept():
        await kitchen.record(*drops(40, pots))
        await until(lambda: kitchen.reached(40))
    revision, progress = await kitchen.bucket.progress(kitchen.nc)
    assert progress
    await put(kitchen, msgspec.structs.replace(progress, position=11, stream_seq=11), revision)
    async with watched(kitchen) as seen, kitchen.kept(batch=7):
        await kitchen.record(("pot-0", Added(7)))
        await until(lambda: kitchen.reached(41))
        assert await kitchen.values() == await kitchen.wanted()
    assert none_goes_back(seen)


async def put(kitchen: Kitchen, progress: Progress, revision: int) -> None:
    message = kitchen.bucket.move(progress, revision)
    await kitchen.nc.jetstream().publish(message.subject, message.body, headers=dict(message.headers))


async def test_a_bucket_that_is_lost_is_made_again_and_filled_while_nothing_happens(kitchen: Kitchen) -> None:
    await kitchen.record(*drops(300))
    async with kitchen.kept() as keeper:
        await until(lambda: kitchen.reached(300))
        before = keeper.checkpoints[kitchen.world.name].generation
        await kitchen.close()
        await until(lambda: kitchen.reached(300))
        assert await kitchen.values() == await kitchen.wanted()
        assert keeper.checkpoints[kitchen.world.name].generation > before


async def test_a_bucket_made_anew_by_somebody_is_filled(kitchen: Kitchen) -> None:
    await kitchen.record(*drops(30))
    async with kitchen.kept():
        await until(lambda: kitchen.reached(30))
        await kitchen.close()
        await ask_jetstream(kitchen.nc, f"STREAM.CREATE.{kitchen.bucket.stream}", kitchen.bucket.config)
        await kitchen.record(*drops(10))
        await until(lambda: kitchen.reached(40))
        assert await kitchen.values() == await kitchen.wanted()


async def test_a_bucket_that_was_lost_while_nobody_kept_it_is_filled(kitchen: Kitchen) -> None:
    await kitchen.record(*drops(30))
    async with kitchen.kept():
        await until(lambda: kitchen.reached(30))
    await kitchen.close()
    async with kitchen.kept():
        await until(lambda: kitchen.reached(30))
        assert await kitchen.values() == await kitchen.wanted()


async def test_a_changed_fold_is_folded_anew_and_no_value_goes_back(kitchen: Kitchen) -> None:
    def doubled(pot: Pot | None, stream: str, event: Any) -> Pot | None:
        return pot_apply(pot, stream, Added(2 * event.drops, event.colour) if isinstance(event, Added) else event)

    changed = pots(kitchen.world.name, apply=doubled, version=2)
    await kitchen.record(*drops(500))
    async with kitchen.kept(batch=50) as older:
        await until(lambda: kitchen.reached(500))
        async with watched(kitchen) as seen, kitchen.kept(changed, batch=50):
            await until(lambda: version_reached(kitchen, 2, 500))
            await kitchen.record(*drops(20))
            await until(lambda: version_reached(kitchen, 2, 520))
            assert await kitchen.values() == await kitchen.wanted(changed)
            await until(lambda: "version 2 of it is there" in older.stopped)
    assert none_goes_back(seen)
    async with kitchen.kept() as late:
        await until(lambda: "start the newer code" in late.stopped)
        assert [beat.state for beat in late.beats()] == ["red"]
    assert await kitchen.values() == await kitchen.wanted(changed)


async def version_reached(kitchen: Kitchen, version: int, position: int) -> bool:
    _, progress = await kitchen.bucket.progress(kitchen.nc)
    return progress is not None and (progress.version, progress.position) == (version, position)


async def test_a_value_that_cannot_be_read_any_more_is_folded_anew(kitchen: Kitchen) -> None:
    class Counted(Pot, frozen=True, kw_only=True):
        count: int

    def counted(pot: Counted | None, stream: str, event: Any) -> Counted | None:
        return Counted(stream, 0, count=pot.count + 1 if pot else 1)

    changed = pots(kitchen.world.name, value=Counted, apply=counted, version=2)
    await kitchen.record(*drops(40))
    async with kitchen.kept():
        await until(lambda: kitchen.reached(40))
    async with kitchen.kept(changed):
        await until(lambda: version_reached(kitchen, 2, 40))
    entry = await (await kitchen.nc.jetstream().key_value(kitchen.model.name)).get("pot-0")
    assert msgspec.json.decode(entry.value or b"", type=Counted).count == 8


@pytest.mark.parametrize("key", ["pot-1", "nobodys", "checkpoint"])
async def test_what_somebody_else_puts_into_it_gives_way_to_what_belongs_there(kitchen: Kitchen, key: str) -> None:
    """As who may publish anything at all can, whose forged reply subject has the server acknowledge there."""
    await kitchen.record(*drops(40))
    async with kitchen.kept() as keeper:
        await until(lambda: kitchen.reached(40))
        await forge(kitchen, kitchen.bucket.place if key == "checkpoint" else key)
        await until(lambda: clean(kitchen))
        assert await kitchen.values() == await kitchen.wanted()
        await kitchen.record(*drops(40))
        await until(lambda: kitchen.reached(80))
        assert await kitchen.values() == await kitchen.wanted()
        assert keeper.stopped == ""


UNFIT = [b"with.dots", b"a\x0cb", b"pot-1\x0c", b"\x0cpot-1", b"a\x00b", b"\xff", b"a\x85", b"x" * 200, b"*", b">"]
"""Keys that are no id. NATS takes all, and what we read of some is another key, or none."""


async def test_what_somebody_else_puts_under_keys_that_are_no_ids_harms_nothing(kitchen: Kitchen) -> None:
    await kitchen.record(*drops(40))
    async with kitchen.kept() as keeper:
        await until(lambda: kitchen.reached(40))
        await forge(kitchen, "pot-1")
        for key in (*UNFIT, f"{kitchen.bucket.place}\x0c".encode()):
            await forge_raw(kitchen, key)
        await forge(kitchen, "pot-2")  # Behind it: so it is looked at later.
        await until(lambda: healed(kitchen, "pot-2"))
        assert await kitchen.bucket.get(kitchen.nc, "pot-1") == (await kitchen.wanted())["pot-1"]
        await kitchen.record(*drops(40))
        await until(lambda: kitchen.reached(80))
        values, wanted = await kitchen.values(), await kitchen.wanted()
        assert {key: values.get(key) for key in wanted} == wanted
        assert (keeper.stopped, keeper.trouble, keeper.ignored > 0) == ("", {}, True)
    async with kitchen.kept() as keeper:
        await kitchen.record(*drops(40))
        await until(lambda: kitchen.reached(120))
        assert (keeper.stopped, keeper.trouble) == ("", {})


async def test_what_keeps_from_looking_after_it_is_shown_and_ends_nothing(kitchen: Kitchen) -> None:
    """A fold that crashes on what it is to fold anew."""
    armed = False

    def crash(pot: Pot | None, stream: str, event: Any) -> Pot | None:
        if armed and stream == "pot-1":
            raise ZeroDivisionError("a fault of the code")
        return pot_apply(pot, stream, event)

    await kitchen.record(*drops(40))
    async with kitchen.kept(pots(kitchen.world.name, apply=crash)) as keeper:
        await until(lambda: kitchen.reached(40))
        armed = True
        await forge(kitchen, "pot-1")
        await until(lambda: "a fault of the code" in keeper.trouble.get(kitchen.world.name, ""))
        assert [beat.state for beat in keeper.beats()] == ["red"]
        await kitchen.record(("pot-0", Added(1)))
        await until(lambda: kitchen.reached(41))
        armed = False
        await until(lambda: healed(kitchen, "pot-1"))
        await until(lambda: not keeper.trouble)
        assert [beat.state for beat in keeper.beats()] == ["live"]


async def forge_raw(kitchen: Kitchen, key: bytes) -> None:
    """As nats-py does not let us: bytes that are legal in a reply subject, where the server's answer is put."""
    subject = b"$KV.%b.%b" % (kitchen.model.name.encode(), key)
    await kitchen.nc._send_command(b"PUB $JS.API.INFO %b 0\r\n\r\n" % subject)
    await kitchen.nc.flush()


async def healed(kitchen: Kitchen, key: str) -> bool:
    return key not in (await kitchen.bucket.strays(kitchen.nc, 1, 1000))[1]


async def test_what_somebody_else_put_into_it_while_nobody_kept_it_gives_way_too(kitchen: Kitchen) -> None:
    await kitchen.record(*drops(40))
    async with kitchen.kept():
        await until(lambda: kitchen.reached(40))
    await forge(kitchen, "pot-1")
    await forge(kitchen, "nobodys")
    assert await kitchen.bucket.get(kitchen.nc, "pot-1") is None
    async with kitchen.kept():
        await until(lambda: clean(kitchen))
        assert await kitchen.values() == await kitchen.wanted()
    await forge(kitchen, kitchen.bucket.place)
    async with watched(kitchen) as seen, kitchen.kept():
        await until(lambda: kitchen.reached(40))
        assert await kitchen.values() == await kitchen.wanted()
    assert none_goes_back(seen)


async def forge(kitchen: Kitchen, key: str) -> None:
    await kitchen.nc.jetstream().publish(f"$KV.{kitchen.model.name}.{key}", b'{"stream":"COMMANDS", "seq":4}')


async def clean(kitchen: Kitchen) -> bool:
    """Whether all that lies in the bucket is what belongs there."""
    return not (await kitchen.bucket.strays(kitchen.nc, 1, 1000))[1]


async def test_a_bucket_that_is_full_waits_until_it_may_grow(kitchen: Kitchen) -> None:
    config = kitchen.bucket.config | {"max_bytes": 2000}
    await ask_jetstream(kitchen.nc, f"STREAM.CREATE.{kitchen.bucket.stream}", config)
    async with kitchen.kept() as keeper:
        await kitchen.record(*drops(100, pots=100))
        await until(lambda: "StreamFull" in keeper.trouble.get(kitchen.world.name, ""))
        assert [beat.state for beat in keeper.beats()] == ["red"]
        await ask_jetstream(kitchen.nc, f"STREAM.UPDATE.{kitchen.bucket.stream}", kitchen.bucket.config)
        await until(lambda: kitchen.reached(100))
        assert await kitchen.values() == await kitchen.wanted()
        await until(lambda: [beat.state for beat in keeper.beats()] == ["live"])


async def test_another_incarnation_of_the_record_stops_it(kitchen: Kitchen) -> None:
    await kitchen.record(*drops(10))
    async with kitchen.kept() as keeper:
        await until(lambda: kitchen.reached(10))
        await kitchen.world.owner_says("UPDATE {s}.head SET incarnation = gen_random_uuid()")
        await kitchen.record(*drops(1))
        await until(lambda: "another incarnation" in keeper.stopped)
        assert [beat.state for beat in keeper.beats()] == ["red"]
        await kitchen.close()  # As `daybook rebuild` does it.
        await until(lambda: kitchen.reached(11))
        assert await kitchen.values() == await kitchen.wanted()
        await until(lambda: [beat.state for beat in keeper.beats()] == ["live"])


async def test_a_fold_that_crashes_stops_it_and_says_so(kitchen: Kitchen) -> None:
    def crash(pot: Pot | None, stream: str, event: Any) -> Pot | None:
        raise ZeroDivisionError("a fault of the code")

    async with kitchen.kept(pots(kitchen.world.name, apply=crash)) as keeper:
        await kitchen.record(*drops(3))
        await until(lambda: "a fault of the code" in keeper.stopped)
        assert [beat.state for beat in keeper.beats()] == ["red"]


async def test_a_keeper_killed_while_it_puts_leaves_what_the_next_one_goes_on_from(kitchen: Kitchen) -> None:
    await kitchen.record(*drops(800, pots=60))
    async with watched(kitchen) as seen:
        for position in (40, 160, 400):
            process = await keeping(kitchen)
            await until(lambda at=position: kitchen.reached(at))  # type: ignore[misc]
            process.kill()
            await process.wait()
        process = await keeping(kitchen)
        await until(lambda: kitchen.reached(800))
        process.kill()
        await process.wait()
        assert await kitchen.values() == await kitchen.wanted()
    assert none_goes_back(seen)


async def keeping(kitchen: Kitchen) -> asyncio.subprocess.Process:
    clean = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    return await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.shell.keep_pots", kitchen.world.name),
        cwd=PROJECT,
        env=clean | child_environment(kitchen.world.settings),
    )


SLICES = st.lists(st.tuples(st.integers(0, 1), st.integers(0, 59), st.integers(1, 25), st.booleans()), max_size=12)


@budget(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(slices=SLICES)
async def test_whoever_takes_whatever_part_however_often_the_bucket_is_the_fold(
    kitchen: Kitchen, slices: list[tuple[int, int, int, bool]]
) -> None:
    """Two keepers are handed parts of the record, late, early, again, at once; the next one may be a new process."""
    world = kitchen.world
    if (await world.reader.head()).position == 0:
        await world.record(*drops(60, pots=7))
    await kitchen.close()
    codec = followed([kitchen.model], world.name)
    happened = [decoded(codec, each) for each in await world.reader.page(0, 100)]
    keepers = [Keeper(kitchen.nc, kitchen.model, world.reader) for _ in range(2)]
    handed = list[Any]()
    for number, start, length, at_once in slices:
        handed.append(keepers[number].listener.take(world.name, happened[start : start + length]))
        if not at_once:
            await asyncio.gather(*handed)
            handed.clear()
            keepers[number] = Keeper(kitchen.nc, kitchen.model, world.reader)
    await asyncio.gather(*handed)
    for _ in range(4):
        await keepers[0].listener.take(world.name, happened)
    assert [keeper.stopped for keeper in keepers] == ["", ""]
    assert await kitchen.values() == await kitchen.wanted()
