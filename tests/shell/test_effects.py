"""Effects: what an event calls for outside is asked until it is answered, and every answer is told."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace

from common.bus.api import ask_jetstream
from common.context import Context, Effect
from common.messages import Command
from common.recorded import CAUSATION_HEADER, CORRELATION_HEADER, VERSION, VERSION_HEADER
from common.shell import calls, effects
from common.shell.effects import Effects
from common.store.append import Batch, append
from common.store.new_rows import NewReceipt
from tests.servers import until
from tests.shell.ripples import Asked, NoteDrops, Pond, jars_that_react, pond
from tests.shell.toys import NOON, Added, Emptied
from tests.shell.worlds import World


class Outside:
    """The world outside: how often it was asked with each key, and how many are asking now.

    A jar's name says how it answers: `silent` not the first time, `mute` never, `angry` raises, `twice` says it twice,
    `shy` has nothing to be asked, `gated` once the gate is open, `garbled` what nobody takes until the gate is open;
    all others at once.
    """

    def __init__(self) -> None:
        self.asked: Counter[str] = Counter()
        self.jars: Counter[str] = Counter()
        self.gate = asyncio.Event()
        self.busy = self.most = 0

    async def ask(self, key: str, jar: str, event: Any) -> AsyncIterator[Command]:
        self.asked[key] += 1
        self.jars[jar] += 1
        self.busy += 1
        self.most = max(self.most, self.busy)
        try:
            async for answer in self._answers(jar, event):
                yield answer
        finally:
            self.busy -= 1

    async def _answers(self, jar: str, event: Any) -> AsyncIterator[Command]:
        match jar.partition("-")[0]:
            case "silent" if self.jars[jar] == 1:
                await asyncio.Event().wait()
            case "mute":
                await asyncio.Event().wait()
            case "angry":
                raise ZeroDivisionError("not today")
            case "gated":
                await self.gate.wait()
            case "garbled" if not self.gate.is_set():
                yield NoteDrops(jar, event.drops, "\0")
            case "twice":
                yield NoteDrops(jar, event.drops)
            case "shy":
                return
        yield NoteDrops(jar, event.drops)


class Shore:
    """A context whose drops are told outside, and what came back."""

    def __init__(self, world: World, water: Pond) -> None:
        self.world, self.water, self.outside = world, water, Outside()

    def context(self, within_s: float = 0.15, at_once: int = 8) -> Context:
        effect = Effect(events=(Added,), ask=self.outside.ask, within_s=within_s, at_once=at_once)
        return replace(jars_that_react(self.world.name, {}), effect=effect)

    @asynccontextmanager
    async def running(self, **options: Any) -> AsyncIterator[Effects]:
        """Effects at work; at the end they are killed in whatever they do."""
        made = Effects(self.world.nc, self.context(**options), self.world.writer, self.world.reader)
        task = asyncio.create_task(made.run())
        try:
            yield made
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def drop(self, *jars: str) -> None:
        """A drop falls into each of these jars."""
        before = (await self.world.reader.head()).position
        await self.world.record(*((jar, Added(n)) for n, jar in enumerate(jars)))
        await self.world.publish(*await self.world.reader.page(before, len(jars)))

    async def stored(self) -> list[Asked]:
        """The answers as they were stored, in their order."""
        return await self.water.asked() if await self.water.has_asked(1) else []

    async def told(self) -> Counter[str]:
        """How many answers were told for each jar; one told again counts once."""
        return Counter({each.id: each.key for each in await self.stored()}.values())

    async def settle(self, *answers: Asked) -> None:
        """As the context's worker does that has decided these answers."""
        name = self.world.name
        receipts = [
            NewReceipt(name, each.id, "", "accepted", each.type, each.key, 1, 0, 0, "", "", "{}", "", NOON)
            for each in answers
        ]
        await append(self.world.writer, name, self.world.epochs, Batch({}, [], receipts, {}, {}, []))

    async def answered(self, count: int) -> bool:
        return (await self.told()).total() >= count

    async def place(self) -> int:
        found = await self.world.writer.fetchval(
            f"SELECT position FROM {self.world.name}.checkpoints WHERE model = 'effects'"
        )
        return found or 0

    async def settled(self) -> bool:
        """Whether the place is at the end of the record."""
        return await self.place() == (await self.world.reader.head()).position


@asynccontextmanager
async def shore(world: World, **options: Any) -> AsyncIterator[Shore]:
    async with pond(world, **options) as water:
        yield Shore(world, water)


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "SHORTEST_S", 0.02)
    monkeypatch.setattr(calls, "LONGEST_S", 0.1)
    monkeypatch.setattr(effects, "SAVE_EVERY_S", 0.01)


async def test_each_call_is_made_once_when_all_is_well(world: World) -> None:
    async with shore(world) as beach, beach.running() as running:
        await beach.drop(*(f"jar-{n}" for n in range(40)))
        await until(lambda: beach.answered(40))
        await until(beach.settled)
        assert set(beach.outside.asked.values()) == {1}
        assert set((await beach.told()).values()) == {1}
        assert set(beach.outside.asked) == {each.id for each in await world.reader.page(0, 100)}
        assert (running.tally.asked, running.tally.answered, running.tally.silent) == (40, 40, 0)


async def test_an_answer_is_told_in_the_name_of_the_context_and_names_its_cause(world: World) -> None:
    async with shore(world) as beach, beach.running():
        await beach.drop("jar-1")
        await until(lambda: beach.answered(1))
        (told,) = await beach.stored()
        (cause,) = await world.reader.page(0, 1)
        assert (told.type, told.key, told.body) == ("NoteDrops", "jar-1", {"drops": 0, "note": ""})
        assert told.headers[VERSION_HEADER] == VERSION
        assert told.headers[CORRELATION_HEADER] == cause.correlation_id
        assert told.headers[CAUSATION_HEADER] == cause.id


async def test_who_is_silent_is_asked_again_with_the_same_key(world: World) -> None:
    async with shore(world) as beach, beach.running() as running:
        await beach.drop("silent-1", "silent-2")
        await until(lambda: beach.answered(2))
        await until(beach.settled)
        assert list(beach.outside.asked.values()) == [2, 2]
        assert (running.tally.silent, running.calls.unanswered) == (2, 0)


async def test_what_is_said_twice_is_told_twice(world: World) -> None:
    async with shore(world) as beach, beach.running():
        await beach.drop("twice-1", "jar-1")
        await until(lambda: beach.answered(3))
        assert await beach.told() == {"twice-1": 2, "jar-1": 1}
        assert set(beach.outside.asked.values()) == {1}


async def test_who_was_killed_between_the_answer_and_its_telling_asks_again_with_the_same_key(world: World) -> None:
    async with shore(world) as beach:
        async with beach.running(within_s=60):
            await beach.drop("gated-1")
            await until(lambda: beach.outside.busy == 1)
        assert await beach.stored() == []
        beach.outside.gate.set()
        async with beach.running(within_s=60):
            await until(lambda: beach.answered(1))
        assert list(beach.outside.asked.values()) == [2]


async def test_what_is_told_again_after_a_restart_has_the_same_id(world: World) -> None:
    async with shore(world) as beach:
        async with beach.running(within_s=60):
            await beach.drop("gated-1", "twice-1")
            await until(lambda: beach.answered(2))
        beach.outside.gate.set()
        async with beach.running(within_s=60):
            await until(beach.settled)
        told = Counter(each.id for each in await beach.stored())
        assert sorted(told.values()) == [1, 2, 2]


async def test_after_a_restart_what_was_answered_is_not_asked_again_however_long_another_is_silent(
    world: World,
) -> None:
    async with shore(world) as beach:
        async with beach.running():
            await beach.drop("mute-1", *(f"jar-{n}" for n in range(5)), "twice-1", "jar-9")
            await until(lambda: beach.answered(8))
            await beach.settle(*(each for each in await beach.stored() if each.key != "jar-9"))
        assert await beach.place() == 0
        beach.outside.jars.clear()
        async with beach.running() as running:
            await beach.drop("jar-new")
            await until(lambda: beach.outside.jars["mute-1"] > 1 and beach.outside.jars["jar-new"] == 1)
            await until(lambda: beach.answered(9))
            assert running.calls.open == 1
        assert set(beach.outside.jars) == {"mute-1", "jar-9", "jar-new"}, "jar-9's answer was told, but never settled"


async def test_the_place_moves_on_over_what_was_answered_before_a_restart(world: World) -> None:
    async with shore(world) as beach:
        async with beach.running(within_s=60):
            await beach.drop("gated-1", "jar-1", "jar-2")
            await until(lambda: beach.answered(2))
            await beach.settle(*await beach.stored())
        beach.outside.gate.set()
        async with beach.running(within_s=60):
            await until(beach.settled)
        assert (beach.outside.jars["gated-1"], beach.outside.jars["jar-1"], beach.outside.jars["jar-2"]) == (2, 1, 1)


async def test_an_answer_that_nobody_would_take_is_not_told_and_asked_for_again(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with shore(world) as beach, beach.running() as running:
        await beach.drop("garbled-1", "jar-1")
        await until(lambda: beach.answered(1))
        await until(lambda: beach.outside.jars["garbled-1"] > 2)
        assert (await beach.told(), await beach.place()) == ({"jar-1": 1}, 0)
        monkeypatch.setattr(effects, "OVERDUE_S", 0.0)
        assert running.beat()["state"] == "red" and "U+0000" in running.error
        beach.outside.gate.set()
        await until(beach.settled)
        assert await beach.told() == {"garbled-1": 1, "jar-1": 1}
        assert len(beach.outside.asked) == 2


async def test_what_is_silent_leaves_room_for_what_is_asked_for_the_first_time(world: World) -> None:
    async with shore(world) as beach, beach.running(at_once=6) as running:
        await beach.drop(*(f"mute-{n}" for n in range(30)))
        await until(lambda: running.calls.unanswered == 30)
        beach.outside.most = 0
        asked = running.tally.asked
        await until(lambda: running.tally.asked > asked + 20)
        assert beach.outside.most == 3
        await beach.drop(*(f"gated-{n}" for n in range(3)))
        await until(lambda: all(beach.outside.jars[f"gated-{n}"] for n in range(3)))


async def test_no_more_are_asked_at_once_than_the_effect_allows(world: World) -> None:
    async with shore(world) as beach, beach.running(within_s=60, at_once=3) as running:
        await beach.drop(*(f"gated-{n}" for n in range(20)))
        await until(lambda: running.calls.open == 20)
        assert (beach.outside.busy, beach.outside.most) == (3, 3)
        beach.outside.gate.set()
        await until(lambda: beach.answered(20))
        assert beach.outside.most == 3


async def test_the_place_never_passes_an_open_call(world: World) -> None:
    async with shore(world) as beach, beach.running(within_s=60):
        await beach.drop("jar-1", "jar-2", "gated-3", "jar-4", "gated-5", "jar-6")
        await until(lambda: beach.answered(4))
        await until(lambda: at(beach, 2))
        await beach.drop("jar-7")
        await until(lambda: beach.answered(5))
        assert await beach.place() == 2
        beach.outside.gate.set()
        await until(beach.settled)


async def at(beach: Shore, position: int) -> bool:
    return await beach.place() == position


async def test_events_that_ask_for_nothing_move_the_place_on(world: World) -> None:
    async with shore(world) as beach, beach.running():
        await world.record(("jar-1", Emptied()), ("jar-1", Emptied()))
        await world.publish(*await world.reader.page(0, 10))
        await until(lambda: at(beach, 2))
        assert not beach.outside.asked


async def test_a_call_with_nothing_to_ask_is_settled_without_an_answer(world: World) -> None:
    async with shore(world) as beach, beach.running():
        await beach.drop("shy-1")
        await until(lambda: at(beach, 1))
        assert (list(beach.outside.asked.values()), await beach.stored()) == ([1], [])


async def test_who_raises_for_ever_holds_up_no_other(world: World) -> None:
    async with shore(world) as beach, beach.running(at_once=2) as running:
        await beach.drop("angry-1", "mute-1", "angry-2", *(f"jar-{n}" for n in range(10)))
        await until(lambda: beach.answered(10))
        await until(lambda: beach.outside.jars["angry-1"] > 3 and beach.outside.jars["mute-1"] > 2)
        assert set((await beach.told()).keys()) == {f"jar-{n}" for n in range(10)}
        assert running.calls.unanswered == 3
        assert running.tally.failed > 3 and running.tally.silent > 1
        assert await beach.place() == 0


async def test_a_call_that_is_open_for_long_is_shown(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    async with shore(world) as beach, beach.running() as running:
        await beach.drop("angry-1")
        await until(lambda: running.calls.unanswered == 1)
        assert running.error == ""
        monkeypatch.setattr(effects, "OVERDUE_S", 0.0)
        beat = running.beat()
        assert "ZeroDivisionError: not today" in beat["error"]
        assert (beat["context"], beat["state"], beat["open"], beat["unanswered"]) == (world.name, "red", 1, 1)
        assert beat["oldest_s"] >= 0


async def test_all_is_well_when_nothing_is_open(world: World) -> None:
    async with shore(world) as beach, beach.running() as running:
        await beach.drop("jar-1")
        await until(lambda: at(beach, 1))
        await until(lambda: running.beat()["state"] == "live")
        beat = running.beat()
        assert (beat["position"], beat["error"], beat["open"], beat["oldest_s"]) == (1, "", 0, 0)


async def test_what_the_stream_lacks_is_read_from_the_store(world: World) -> None:
    async with shore(world) as beach, beach.running():
        await world.record(*((f"jar-{n}", Added(n)) for n in range(3)))
        await until(lambda: beach.answered(3))
        assert set(beach.outside.asked.values()) == {1}


async def test_while_too_many_are_open_the_next_wait(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calls, "MOST_OPEN", 3)
    async with shore(world) as beach, beach.running(within_s=60) as running:
        await beach.drop(*(f"gated-{n}" for n in range(6)))
        await until(lambda: running.calls.open == 3)
        await until(lambda: running.beat()["state"] == "catching-up")
        assert running.calls.open == 3
        beach.outside.gate.set()
        await until(lambda: beach.answered(6))
        await until(beach.settled)
        assert set(beach.outside.asked.values()) == {1}


async def test_answers_wait_for_a_full_stream(world: World) -> None:
    async with shore(world, room=4096) as beach, beach.running(within_s=60) as running:
        await beach.drop(*(f"jar-{n}" for n in range(40)))
        await until(lambda: "cannot be told" in running.error)
        told = set[str]()

        async def all_told() -> bool:
            told.update(each.id for each in await beach.water.take())
            return len(told) == 40

        await until(all_told)
        await until(lambda: running.error == "")
        assert set(beach.outside.asked.values()) == {1}


async def test_a_record_that_was_restored_stops_it(world: World) -> None:
    async with shore(world) as beach:
        async with beach.running():
            await beach.drop("jar-1")
            await until(lambda: at(beach, 1))
        await world.owner_says("UPDATE {s}.head SET incarnation = 'another'")
        async with beach.running() as running:
            await world.record(("jar-2", Added(1)))
            await until(lambda: running.beat()["state"] == "red")
            assert "another incarnation" in running.error
        assert beach.outside.jars == {"jar-1": 1}


async def test_an_event_that_cannot_be_read_stops_it_before_that_event(world: World) -> None:
    async with shore(world) as beach, beach.running() as running:
        await world.record(("jar-1", Added(1)), ("jar-2", Added(2)), ("jar-3", Added(3)))
        await world.owner_says("""UPDATE {s}.events SET data = '{{"drops":"many"}}' WHERE position = 2""")
        await until(lambda: running.beat()["state"] == "red")
        await until(lambda: at(beach, 1))
        assert "Undecodable: Added" in running.error
        assert await beach.told() == {"jar-1": 1}


async def test_a_place_that_somebody_else_has_moved_is_never_moved_back(world: World) -> None:
    async with shore(world) as beach, beach.running():
        await beach.drop("jar-1")
        await until(lambda: at(beach, 1))
        await world.writer.execute(f"UPDATE {world.name}.checkpoints SET position = 9 WHERE model = 'effects'")
        await beach.drop("jar-2")
        await until(lambda: beach.answered(2))
        await beach.drop("jar-3")
        await until(lambda: beach.answered(3))
        assert await beach.place() == 9


async def test_the_stream_of_commands_may_be_away_for_a_while(world: World) -> None:
    async with shore(world) as beach, beach.running(within_s=60) as running:
        stream = beach.water.stream
        await ask_jetstream(world.nc, f"STREAM.DELETE.{stream}", {})
        await beach.drop("jar-1")
        await until(lambda: "cannot be told" in running.error)
        assert await beach.place() == 0
        await beach.water.make_stream()
        await until(lambda: beach.answered(1))
        assert set(beach.outside.asked.values()) == {1}
