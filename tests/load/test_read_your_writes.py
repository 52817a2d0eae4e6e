"""The check of read-your-writes finds stale reads where nobody asks for fresh ones, and none where somebody does."""

import pytest

from tests.load.read_your_writes import DOORS, Pairs, both_doors
from tests.servers import System


async def test_reads_are_stale_without_the_header_and_never_with_it(system: System) -> None:
    found = await both_doors(system, 200, 8, 50)
    assert {(each.door, each.after) for each in found} == {(door, after) for door in DOORS for after in (True, False)}
    for each in found:
        assert (each.pairs, each.refused, each.example) == (200, 0, "")
        assert each.stale == each.stale_missing + each.stale_version
        assert (each.stale == 0) == each.after, each


@pytest.mark.parametrize(
    ("seen", "missing", "old", "refused"),
    [((200, 2), 0, 0, 0), ((404, 0), 1, 0, 0), ((200, 1), 0, 1, 0), ((503, 0), 0, 0, 1)],
)
def test_a_404_and_an_old_version_are_stale_and_an_error_is_neither(
    seen: tuple[int, int], missing: int, old: int, refused: int
) -> None:
    pairs = Pairs()
    pairs.note(seen, 2, 0.001)
    assert (pairs.missing, pairs.old_version, pairs.refused) == (missing, old, refused)
