"""How long events took to be visible in a read model, by the clocks of the servers that stamped them."""

from collections.abc import Sequence

from common.shell.clocks import Clocks
from common.shell.durations import timed
from common.shell.hops import Hops
from common.store.fold import Happened


def new_hops() -> Hops:
    """Those that whoever keeps a read model ends."""
    return Hops("relayed_to_visible", "recorded_to_visible", "accepted_to_visible")


def note_visible(hops: Hops, clocks: Clocks, run: Sequence[Happened], visible: float) -> None:
    """Notes that these events are visible since a monotonic time."""
    for each, times in timed(run):
        hops.add("relayed_to_visible", clocks.bus.since(each.relayed_at, visible), times)
        hops.add("recorded_to_visible", clocks.store.since(each.recorded_at, visible), times)
        hops.add("accepted_to_visible", clocks.bus.since(each.accepted_at, visible), times)
