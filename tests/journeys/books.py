"""What was found wrong; and the goods of a site, kept a second time to find it."""

from collections import Counter
from collections.abc import Iterable
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


class Wrong(AssertionError):
    """Something that must not be."""


def must(true: bool, what: str) -> None:
    if not true:
        raise Wrong(what)


class Books:
    """The goods of a site, kept a second time: only from what its events say."""

    def __init__(self) -> None:
        self.on_hand: Counter[str] = Counter()
        self.held: dict[str, Counter[str]] = {}

    def enter(self, event: Any) -> None:
        match event:
            case StockReceived() | ReturnTakenBack():
                self.on_hand += goods(event.lines)
            case ReservationShipped(order_id=order):
                must(self.held.pop(order, None) == goods(event.lines), f"{order} ships what was not set aside for it")
                self.on_hand.subtract(goods(event.lines))
            case StockCounted(sku=sku, counted=counted, expected=expected):
                must(self.on_hand[sku] == expected, f"of {sku} {expected} were expected, by the books it is another")
                self.on_hand[sku] = counted
            case StockReserved(order_id=order):
                must(order not in self.held, f"for {order} goods are set aside twice")
                self.held[order] = goods(event.lines)
            case ReservationReleased(order_id=order) | ReservationBroken(order_id=order):
                must(self.held.pop(order, None) == goods(event.lines), f"{order} frees what was not set aside for it")

    def check(self, site: str) -> None:
        held = sum(self.held.values(), Counter[str]())
        must(min(self.on_hand.values(), default=0) >= 0, f"{site} has less than nothing")
        must(all(self.on_hand[sku] >= n for sku, n in held.items()), f"{site} has set aside more than it has")


def goods(lines: Iterable[Any]) -> Counter[str]:
    """Pieces by SKU; lines of nothing are none."""
    return +Counter({line.sku: line.quantity for line in lines})
