"""stock, as the shells run it."""

from common.context import Context, Snapshot
from contexts.stock.commands import (
    CountStock,
    ReceiveStock,
    ReleaseReservation,
    ReserveStock,
    ShipReservation,
    TakeBackReturn,
)
from contexts.stock.decider import decide, held_by
from contexts.stock.events import (
    ReservationBroken,
    ReservationRefused,
    ReservationReleased,
    ReservationShipped,
    ReturnTakenBack,
    StockCounted,
    StockReceived,
    StockReserved,
)
from contexts.stock.site import Site, Stocktake, evolve, freeze, thaw, weigh

CONTEXT = Context(
    name="stock",
    commands=(ReceiveStock, CountStock, ReserveStock, ReleaseReservation, ShipReservation, TakeBackReturn),
    events=(
        StockReceived,
        StockCounted,
        StockReserved,
        ReservationRefused,
        ReservationReleased,
        ReservationShipped,
        ReservationBroken,
        ReturnTakenBack,
    ),
    initial=Site(),
    decide=decide,
    evolve=evolve,
    snapshot=Snapshot(form=Stocktake, freeze=freeze, thaw=thaw, weigh=weigh, every=1000),
    held_by=held_by,
)
