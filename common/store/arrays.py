"""What asyncpg takes for an array: a list or a tuple.

It looks at each value of an array whether that is an array in itself, by two abstract classes: 0.2 us of CPU, half of
what it takes to send a value, and an order takes a thousand. Ours hold plain values, and so lists and tuples will do.

It uses what asyncpg keeps to itself: two names in `asyncpg.protocol.protocol`.
"""

from typing import Any

import asyncpg.protocol.protocol

PLAIN = (list, tuple)


def plain_arrays() -> None:
    """For all connections of this process. Again is the same as once."""
    protocol: Any = asyncpg.protocol.protocol
    protocol.IterableABC = protocol.SizedABC = PLAIN
