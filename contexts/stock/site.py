"""The state of a site: how much is on hand, for which orders it is set aside, and the form it rests in."""

from collections.abc import Iterable

from immutables import Map
from msgspec import Struct

from common.messages import Event
from contexts.stock.events import (
    GoodsLine,
    ReservationBroken,
    ReservationReleased,
    ReservationShipped,
    ReturnTakenBack,
    StockCounted,
    StockReceived,
    StockReserved,
)

BYTES_OF_A_PRODUCT, BYTES_OF_A_RESERVATION = 130, 1450
"""In memory, about, measured: a SKU and a number in a map; an order of ten lines."""


class Reservation(Struct, frozen=True, gc=False):
    """What is set aside for an order. Of two reservations of a site, the later one has the higher number."""

    number: int
    lines: tuple[GoodsLine, ...]


class Site(Struct, frozen=True, gc=False):
    """A site as its events left it. Products of which there are none are in neither map.

    `reserved` is what the reservations add up to; `reservations` are by order, of orders that are not over.
    """

    on_hand: Map[str, int] = Map()
    reserved: Map[str, int] = Map()
    reservations: Map[str, Reservation] = Map()
    last_number: int = 0

    def available(self, sku: str) -> int:
        """How much is there that nobody has reserved."""
        return self.on_hand.get(sku, 0) - self.reserved.get(sku, 0)


def evolve(site: Site, event: Event) -> Site:
    """The site after the event."""
    match event:
        case StockReceived(lines=lines) | ReturnTakenBack(lines=lines):
            return Site(moved(site.on_hand, lines), site.reserved, site.reservations, site.last_number)
        case StockCounted(sku=sku, counted=counted):
            difference = GoodsLine(sku, counted - site.on_hand.get(sku, 0))
            return Site(moved(site.on_hand, [difference]), site.reserved, site.reservations, site.last_number)
        case StockReserved(order_id=order_id, lines=lines):
            return set_aside(site, order_id, lines)
        case ReservationReleased(order_id=order_id) | ReservationBroken(order_id=order_id):
            return freed(site, order_id)
        case ReservationShipped(order_id=order_id, lines=lines):
            left = freed(site, order_id)
            return Site(moved(left.on_hand, lines, -1), left.reserved, left.reservations, left.last_number)
        case _:
            return site


def set_aside(site: Site, order_id: str, lines: tuple[GoodsLine, ...]) -> Site:
    number = site.last_number + 1
    reservations = site.reservations.set(order_id, Reservation(number, lines))
    return Site(site.on_hand, moved(site.reserved, lines), reservations, number)


def freed(site: Site, order_id: str) -> Site:
    """The site without this order's reservation."""
    reservation = site.reservations.get(order_id)
    if reservation is None:
        return site
    rest = site.reservations.delete(order_id)
    return Site(site.on_hand, moved(site.reserved, reservation.lines, -1), rest, site.last_number)


def moved(amounts: Map[str, int], lines: Iterable[GoodsLine], times: int = 1) -> Map[str, int]:
    """The amounts with these lines added, so many times; products that come to nothing are left out."""
    changing = amounts.mutate()
    for line in lines:
        amount = changing.get(line.sku, 0) + times * line.quantity
        if amount:
            changing[line.sku] = amount
        else:
            changing.pop(line.sku, None)
    return changing.finish()


class Stocktake(Struct, frozen=True):
    """A site as it rests in a snapshot. What is reserved of a product follows from the reservations."""

    on_hand: dict[str, int]
    reservations: dict[str, Reservation]
    last_number: int


def freeze(site: Site) -> Stocktake:
    return Stocktake(dict(site.on_hand), dict(site.reservations), site.last_number)


def weigh(site: Site) -> int:
    """About how many bytes of memory it takes."""
    return BYTES_OF_A_PRODUCT * (len(site.on_hand) + len(site.reserved)) + BYTES_OF_A_RESERVATION * len(
        site.reservations
    )


def thaw(taken: Stocktake) -> Site:
    lines = [line for reservation in taken.reservations.values() for line in reservation.lines]
    return Site(Map(taken.on_hand), moved(Map(), lines), Map(taken.reservations), taken.last_number)
