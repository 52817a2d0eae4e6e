"""How many orders came how far in each second, as the record says."""

from collections.abc import Iterable
from datetime import datetime

import asyncpg
from msgspec import Struct

from common.config import Settings
from contexts.order.events import (
    OrderAdmitted,
    OrderConfirmed,
    OrderDelivered,
    OrderDispatched,
    OrderPaid,
    OrderPlaced,
    OrderReserved,
)

STAGES = (OrderPlaced, OrderAdmitted, OrderReserved, OrderConfirmed, OrderDispatched, OrderPaid, OrderDelivered)
BY_SECOND = """SELECT type, floor(extract(epoch FROM recorded_at))::bigint, count(*), min(recorded_at), max(recorded_at)
    FROM "order".events WHERE type = ANY($1) GROUP BY 1, 2 ORDER BY 2"""


class Stage(Struct, frozen=True):
    """How many orders reached it, how many a second from the first to the last, and how many in each second since the
    first order was placed."""

    orders: int
    per_s: float
    by_second: list[int]


class Stages(Struct, frozen=True):
    """By the name of the event. `begun` and `ended` are when the first was placed and the last delivered (epoch)."""

    orders: int
    seconds: float
    fulfilled_per_s: float
    begun: float
    ended: float
    stages: dict[str, Stage]


async def stages_of(settings: Settings) -> Stages:
    """All orders that the record holds. Raises `ValueError` when there is none."""
    connection = await asyncpg.connect(settings.write_dsn("order"))
    try:
        rows = await connection.fetch(BY_SECOND, [each.__name__ for each in STAGES])
    finally:
        await connection.close()
    return counted([(type_, second, number, first, last) for type_, second, number, first, last in rows])


def counted(rows: Iterable[tuple[str, int, int, datetime, datetime]]) -> Stages:
    """From type, second, number of events in it, and the first and the last of them."""
    found: dict[str, list[tuple[int, int, float, float]]] = {each.__name__: [] for each in STAGES}
    for type_, second, number, first, last in rows:
        found[type_].append((second, number, first.timestamp(), last.timestamp()))
    if not found[OrderPlaced.__name__]:
        raise ValueError("no order was placed")
    placed = found[OrderPlaced.__name__]
    begun, ended = placed[0][2], max(last for seen in found.values() for *_, last in seen)
    width = int(ended) - placed[0][0] + 1
    stages = {name: stage(seen, placed[0][0], width) for name, seen in found.items() if seen}
    delivered = stages.get(OrderDelivered.__name__)
    seconds = round(ended - begun, 2)
    per_s = round(delivered.orders / max(seconds, 1e-9), 1) if delivered else 0.0
    return Stages(stages[OrderPlaced.__name__].orders, seconds, per_s, begun, ended, stages)


def stage(seen: list[tuple[int, int, float, float]], first: int, width: int) -> Stage:
    by_second = [0] * width
    for second, number, _, _ in seen:
        by_second[second - first] += number
    orders, took = sum(by_second), seen[-1][3] - seen[0][2]
    return Stage(orders, round(orders / max(took, 1.0), 1), by_second)
