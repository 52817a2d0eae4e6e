"""A read model in a bucket (P8): whoever keeps it, and whatever becomes of it, it holds the fold of the record."""

from collections.abc import AsyncIterator

import pytest_asyncio

from common.messages import Event
from tests.servers import until
from tests.shell.pots import Kitchen
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


async def test_events_become_values(kitchen: Kitchen) -> None:
    async with kitchen.kept() as keeper:
        await kitchen.record(*drops(40))
        await until(lambda: kitchen.reached(40), what="40")
        assert await kitchen.values() == await kitchen.wanted()
        await kitchen.record(("pot-0", Added(7)))
        await until(lambda: kitchen.reached(41), what="41")
        assert await kitchen.values() == await kitchen.wanted()
        assert (keeper.lost, keeper.detached, keeper.trouble) == (0, "", {})
