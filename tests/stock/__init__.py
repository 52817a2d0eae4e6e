"""The rules of a site's stock, as sentences; and what the sentences are made of."""

from common.context import Known
from contexts.stock.commands import Goods, ReleaseReservation, ReserveStock, ShipReservation
from contexts.stock.events import GoodsLine, ReservationBroken, StockReceived, StockReserved
from tests.scenario import NOW, known

SITE = "springfield"
WAREHOUSE: Known = known("warehouse")


def wanted(**quantities: int) -> tuple[Goods, ...]:
    """`wanted(bread=2)`: two breads, as a command has them."""
    return tuple(Goods(sku, quantity) for sku, quantity in quantities.items())


def lines(**quantities: int) -> tuple[GoodsLine, ...]:
    """`lines(bread=2)`: two breads, as an event has them."""
    return tuple(GoodsLine(sku, quantity) for sku, quantity in quantities.items())


def received(**quantities: int) -> StockReceived:
    return StockReceived(lines=lines(**quantities), at=NOW)


def reserved(order_id: str, **quantities: int) -> StockReserved:
    return StockReserved(order_id=order_id, lines=lines(**quantities), at=NOW)


def broken(order_id: str, sku: str, **quantities: int) -> ReservationBroken:
    return ReservationBroken(order_id=order_id, sku=sku, lines=lines(**quantities), at=NOW)


def reserve(order_id: str, *goods: Goods, **quantities: int) -> ReserveStock:
    return ReserveStock(SITE, order_id, (*goods, *wanted(**quantities)), NOW)


def release(order_id: str) -> ReleaseReservation:
    return ReleaseReservation(SITE, order_id, NOW)


def ship(order_id: str) -> ShipReservation:
    return ShipReservation(SITE, order_id, NOW)
