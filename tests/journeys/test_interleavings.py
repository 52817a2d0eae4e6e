"""Many orders at once, through the real rules of all six contexts, with every message early, late or twice.

To look longer: `pytest tests/journeys/test_interleavings.py --hypothesis-profile=long`.
"""

from collections.abc import Mapping

import hypothesis.strategies as st
import pytest
from hypothesis import Phase, given, settings

from common.context import Context
from tests.journeys.bank import Bank
from tests.journeys.books import Wrong
from tests.journeys.broken import BROKEN, Broken
from tests.journeys.people import Chance, People
from tests.journeys.truths import Truths
from tests.journeys.world import World
from tests.scenario import all_contexts

JOURNEYS = st.integers(0, 700).flatmap(lambda size: st.binary(min_size=size, max_size=size))


def lived(data: bytes, contexts: Mapping[str, Context]) -> World:
    """A world in which what happens is as these bytes have it, from the first order until all is at rest."""
    truths = Truths()
    world, chance = World(contexts, Bank(), truths), Chance(data)
    try:
        people = People(world, chance)
        while chance:
            people.move()
        people.finish()
        truths.at_rest(world)
    except Exception as wrong:
        wrong.add_note("\n".join(world.story))
        raise
    return world


@settings(max_examples=max(800, settings().max_examples))
@given(JOURNEYS)
def test_every_journey_ends_lawfully_with_goods_and_money_right(data: bytes) -> None:
    lived(data, all_contexts())


@pytest.mark.parametrize("broken", BROKEN, ids=lambda broken: broken.__name__)
def test_it_is_noticed_when(broken: Broken) -> None:
    contexts = broken(all_contexts())

    @settings(max_examples=5_000, database=None, derandomize=True, phases=[Phase.generate], report_multiple_bugs=False)
    @given(JOURNEYS)
    def journeys(data: bytes) -> None:
        lived(data, contexts)

    with pytest.raises(Wrong):
        journeys()
