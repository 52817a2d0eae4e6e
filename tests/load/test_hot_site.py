"""One hot site beside many: both settle all their orders, and a new worker decides by what was left."""

from msgspec.structs import replace

from common.config import Settings
from contexts.stock.wiring import CONTEXT as STOCK
from tests.load.hot_site import Load, Pace, measured, middle, snapshots_of
from tests.shell.conftest import open_desk


async def test_a_short_round_counts_the_hot_site_and_the_others(settings: Settings) -> None:
    async with open_desk(settings, replace(STOCK, name="hotstock")) as desk, snapshots_of(desk):
        found = await measured(settings, Load(desk), 1000, 20, 4, 1)
        assert desk.worker.snapshots.taken > 0
    assert found.events == 26 + 1000 + 2 * 2 * 20 + 5 + 5
    assert min(found.hot.per_s, found.elsewhere.per_s, found.first_ms, found.first_cpu_ms, found.folded_ms) > 0


def test_the_middle_of_rounds_is_their_median() -> None:
    assert middle([Pace(1, 9), Pace(5, 8), Pace(3, 1)]) == Pace(3, 8)
