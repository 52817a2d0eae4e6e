"""The rules of a site's stock: what may be set aside, and what gives way when less is there."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime

from common.context import Known, is_plausible
from common.messages import Event, Rejected
from contexts.stock.commands import (
    CountStock,
    Goods,
    ReceiveStock,
    ReleaseReservation,
    ReserveStock,
    ShipReservation,
    TakeBackReturn,
)
from contexts.stock.events import (
    GoodsLine,
    ReservationBroken,
    ReservationRefused,
    ReservationReleased,
    ReservationShipped,
    ReturnTakenBack,
    Shortage,
    StockCounted,
    StockReceived,
    StockReserved,
)
from contexts.stock.site import Site

OrderCommand = ReserveStock | ReleaseReservation | ShipReservation | TakeBackReturn
StockCommand = ReceiveStock | CountStock | OrderCommand

TRUSTED = "trusted-channel"
MOST_ON_HAND = 10**12
"""Of one product. What is reserved is never more, so no sum of ours leaves the numbers that a database can hold."""


def decide(command: StockCommand, site: Site, known: Known) -> list[Event]:
    """What happens when this is asked. Raises `Rejected` when a rule says no."""
    match command:
        case ReceiveStock(lines=lines):
            at = time_of_business(command.at, known)
            return [StockReceived(lines=that_fit(added_up(lines), site), at=at)]
        case CountStock():
            return list(counted(command, site, known.at))
        case ReserveStock(order_id=order_id) if order_id in site.reservations:
            return []
        case ReserveStock():
            return [reserved_or_refused(command, site)]
        case TakeBackReturn(order_id=order_id, lines=lines, at=at):
            return [ReturnTakenBack(order_id=order_id, lines=that_fit(added_up(lines), site), at=at)] if lines else []
        case ReleaseReservation(order_id=order_id, at=at) if held := site.reservations.get(order_id):
            return [ReservationReleased(order_id=order_id, lines=held.lines, at=at)]
        case ShipReservation(order_id=order_id, at=at) if held := site.reservations.get(order_id):
            return [ReservationShipped(order_id=order_id, lines=held.lines, at=at)]
        case _:
            return []  # The order holds nothing here.


def held_by(command: StockCommand) -> str:
    """What waits when a command fails: that order's own commands, not the whole site."""
    return command.order_id if isinstance(command, OrderCommand) else command.site


def reserved_or_refused(command: ReserveStock, site: Site) -> Event:
    """All of it, or nothing of it and what is missing."""
    lines = added_up(command.lines)
    there = {line.sku: site.available(line.sku) for line in lines}
    if short := tuple(Shortage(x.sku, x.quantity, there[x.sku]) for x in lines if x.quantity > there[x.sku]):
        return ReservationRefused(order_id=command.order_id, short=short, at=command.at)
    return StockReserved(order_id=command.order_id, lines=lines, at=command.at)


def counted(command: CountStock, site: Site, at: datetime) -> Iterator[Event]:
    """What was found; and, where it is less than what is set aside, whose reservations are broken: the latest ones."""
    sku, found = command.sku, command.counted
    yield StockCounted(sku=sku, counted=found, expected=site.on_hand.get(sku, 0), at=at)
    reserved = site.reserved.get(sku, 0)
    if reserved <= found:
        return
    for order_id, reservation in sorted(site.reservations.items(), key=lambda held: -held[1].number):
        if quantity := sum(line.quantity for line in reservation.lines if line.sku == sku):
            yield ReservationBroken(order_id=order_id, sku=sku, lines=reservation.lines, at=at)
            reserved -= quantity
            if reserved <= found:
                return


def added_up(lines: Iterable[Goods]) -> tuple[GoodsLine, ...]:
    """Each product once, in first order."""
    wanted: dict[str, int] = {}
    for line in lines:
        wanted[line.sku] = wanted.get(line.sku, 0) + line.quantity
    return tuple(GoodsLine(sku, quantity) for sku, quantity in wanted.items())


def that_fit(lines: tuple[GoodsLine, ...], site: Site) -> tuple[GoodsLine, ...]:
    """The lines. Raises `Rejected` when there would be more of a product than can be counted."""
    for line in lines:
        if site.on_hand.get(line.sku, 0) + line.quantity > MOST_ON_HAND:
            message = f"of {line.sku} there would be more than {MOST_ON_HAND}"
            raise Rejected("stock.too-much", message, sku=line.sku, most=MOST_ON_HAND)
    return lines


def time_of_business(stated: datetime | None, known: Known) -> datetime:
    """In UTC: when the command was accepted, unless a trusted channel states when it was."""
    if stated is None:
        return known.at
    if TRUSTED not in known.roles:
        raise Rejected("stock.not-yours-to-state", "`at` is stated by trusted channels alone", field="at")
    if not is_plausible(stated, known.at):
        message = "the time of a receipt of goods is after 1999 and at most a day ahead of now"
        raise Rejected("stock.time-out-of-range", message, at=stated.isoformat(), now=known.at.isoformat())
    return stated.astimezone(UTC)
