"""A comparison while orders may still move: the views are asked one after the other, and must agree all the same."""

import time

from msgspec.structs import replace

from gateway.cli.baskets import Baskets
from gateway.cli.year.comparing import Comparison, compare
from gateway.cli.year.system import System

STILL_S = 60.0
"""For how long we wait for orders to come to rest, when there are differences."""


async def agreed(year: Baskets, system: System, deliver: bool) -> Comparison:
    """What views that have caught up say. A difference counts only when nothing has moved while it was found.

    When things have not come to rest in time, the last differences are returned as of a system that is `moving`.
    """
    await system.caught_up()
    found, before = await compare(year, system, deliver), None
    until = time.monotonic() + STILL_S
    while found.differences:
        now = await system.at_rest(until)
        if now is None:
            return replace(found, moving=True)
        if now == before:
            return found
        found, before = await compare(year, system, deliver), now
    return found
