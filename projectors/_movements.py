"""What events of stock change, by product."""

from collections.abc import Mapping
from typing import Any

from contexts.stock.events import (
    ReservationBroken,
    ReservationReleased,
    ReservationShipped,
    ReturnTakenBack,
    StockCounted,
    StockReceived,
    StockReserved,
)

StockEvent = (
    StockReceived
    | StockCounted
    | StockReserved
    | ReservationReleased
    | ReservationShipped
    | ReservationBroken
    | ReturnTakenBack
)
SIGNS: dict[type[StockEvent], tuple[int, int]] = {
    StockReceived: (1, 0),
    ReturnTakenBack: (1, 0),
    StockReserved: (0, 1),
    ReservationReleased: (0, -1),
    ReservationBroken: (0, -1),
    ReservationShipped: (-1, -1),
}
"""How a line's quantity changes what is on hand, and what is reserved."""
STOCK_EVENTS: tuple[type[StockEvent], ...] = (StockCounted, *SIGNS)

Movements = Mapping[str, tuple[int, int]]
_latest: list[Any] = [None, {}]


def movements(event: StockEvent) -> Movements:
    """By SKU, how much more is on hand and how much more is reserved. Lines name each product once.

    Those of the last event are kept: a fold asks once for each row, and a delivery of goods changes hundreds.
    """
    if _latest[0] is not event:
        _latest[:] = event, moved(event)
    found: Movements = _latest[1]
    return found


def moved(event: StockEvent) -> Movements:
    if isinstance(event, StockCounted):
        return {event.sku: (event.counted - event.expected, 0)}
    on_hand, reserved = SIGNS[type(event)]
    return {line.sku: (on_hand * line.quantity, reserved * line.quantity) for line in event.lines}
