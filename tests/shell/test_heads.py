"""Staleness is never understated: what is not known is unknown, and the time since it was asked for counts."""

import asyncio
from time import monotonic

import pytest

from common.shell import heads as heads_module
from common.shell.context_queries import HeadAnswer
from common.shell.heads import Heads
from common.store.reader import Lag


class Record:
    """A context that answers as told, or not at all."""

    def __init__(self, head: int = 10, age_ms: float | None = 40.0) -> None:
        self.head, self.age_ms, self.asked = head, age_ms, 0
        self.silent = False
        self.hangs = asyncio.Event()
        self.hangs.set()

    async def ask(self, context: str, positions: tuple[int, ...]) -> HeadAnswer | None:
        self.asked += 1
        await self.hangs.wait()
        if self.silent:
            return None
        behind = [Lag(max(self.head - p, 0), self.age_ms if p < self.head else 0.0) for p in positions]
        return HeadAnswer("order", self.head, "i", None, behind)


async def staleness(heads: Heads, position: int) -> float | None:
    heads.look("order", position)
    return await heads.staleness_ms("order", position, "i")


async def test_who_shows_everything_is_as_stale_as_the_question_is_old() -> None:
    found = await staleness(Heads(Record().ask), 10)
    assert found is not None
    assert 0 <= found < 1000


async def test_who_lacks_something_is_as_stale_as_the_oldest_of_it_was_and_the_time_since() -> None:
    found = await staleness(Heads(Record(age_ms=5000).ask), 7)
    assert found is not None
    assert 5000 <= found < 6000


async def test_questions_that_come_together_share_an_answer() -> None:
    record = Record()
    heads = Heads(record.ask)
    await asyncio.gather(*(staleness(heads, 10) for _ in range(50)))
    assert record.asked == 1


async def test_an_answer_for_who_is_further_says_nothing_of_who_is_behind_and_is_asked_again() -> None:
    record = Record()
    heads = Heads(record.ask)
    ahead, behind = await asyncio.gather(staleness(heads, 9), staleness(heads, 8))
    assert ahead is not None
    assert behind is not None
    assert record.asked == 2


async def test_of_another_incarnation_nothing_is_known() -> None:
    heads = Heads(Record().ask)
    await staleness(heads, 10)
    assert await heads.staleness_ms("order", 500, "before the restore") is None
    assert await heads.staleness_ms("order", 0, "") is not None


async def test_the_head_can_be_asked_for_now() -> None:
    record = Record()
    assert await Heads(record.ask).position("order") == 10
    record.silent = True
    assert await Heads(record.ask).position("order") is None


async def test_a_context_that_is_silent_makes_staleness_unknown_and_nobody_waits_for_it_twice() -> None:
    record = Record()
    record.hangs.clear()
    heads = Heads(record.ask)
    assert await staleness(heads, 10) is None
    begun = monotonic()
    assert await heads.staleness_ms("order", 10, "i") is None
    assert monotonic() - begun < heads_module.WORTH_WAITING_S
    record.silent = True
    record.hangs.set()


async def test_what_was_known_grows_old_until_it_is_unknown(monkeypatch: pytest.MonkeyPatch) -> None:
    record = Record()
    heads = Heads(record.ask)
    await staleness(heads, 10)
    record.silent = True
    now = monotonic()
    monkeypatch.setattr(heads_module, "monotonic", lambda: now + 3)
    late = await staleness(heads, 10)
    assert late is not None
    assert late >= 3000
    monkeypatch.setattr(heads_module, "monotonic", lambda: now + 6)
    assert await staleness(heads, 10) is None


async def test_a_clock_that_went_back_makes_staleness_unknown() -> None:
    assert await staleness(Heads(Record(age_ms=None).ask), 7) is None
