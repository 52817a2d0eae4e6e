"""The rules of an order: what may happen to it, and what then did."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from enum import StrEnum

import msgspec
from msgspec import Struct
from msgspec.structs import replace

from common.context import Known
from common.messages import Event, Rejected
from common.personal import Personal
from contexts.order.commands import CancelOrder, PlaceOrder, RequestedLine
from contexts.order.events import OrderCancelled, OrderLine, OrderPlaced
from contexts.order.price_list import MAX_AMOUNT, priced, too_much

OrderCommand = PlaceOrder | CancelOrder
OrderEvent = OrderPlaced | OrderCancelled

TRUSTED = "trusted-channel"
EARLIEST = datetime(2000, 1, 1, tzinfo=UTC)
AHEAD = timedelta(days=1)


class Stage(StrEnum):
    """How far an order has come."""

    NEW = "new"
    PLACED = "placed"
    CANCELLED = "cancelled"


class Order(Struct, frozen=True, gc=False):
    """An order as its events left it. Before the first one it is new."""

    stage: Stage = Stage.NEW
    customer_id: str = ""
    site: str = ""
    currency: str = ""
    placed_at: datetime | None = None
    lines: tuple[OrderLine, ...] = ()


def decide(command: OrderCommand, order: Order, known: Known) -> list[OrderEvent]:
    """What happens when this is asked. Raises `Rejected` when a rule says no."""
    match command, order.stage:
        case PlaceOrder(), Stage.NEW:
            return [placed(command, known)]
        case PlaceOrder(order_id=order_id), _:
            raise Rejected("order.already-placed", f"there is an order {order_id} already")
        case CancelOrder(order_id=order_id), Stage.NEW:
            raise Rejected("order.unknown", f"there is no order {order_id}")
        case CancelOrder(reason=reason), Stage.PLACED:
            return [OrderCancelled(reason=reason, at=known.at)]
        case _:
            return []  # cancelled already: asking again changes nothing


def evolve(order: Order, event: Event) -> Order:
    """The order after the event."""
    match event:
        case OrderPlaced(customer_id=customer_id, site=site, currency=currency, at=at, lines=lines):
            return Order(Stage.PLACED, customer_id, site, currency, at, lines)
        case OrderCancelled():
            return replace(order, stage=Stage.CANCELLED)
        case _:
            return order


def placed(command: PlaceOrder, known: Known) -> OrderPlaced:
    """The order as it is recorded, once the sender may say what it says and every line has its amount."""
    if TRUSTED not in known.roles:
        refuse_what_only_a_trusted_channel_states(command)
    refuse_a_sku_named_twice(command.lines)
    lines = tuple(priced(line, command.currency, known.reference.get(line.sku)) for line in command.lines)
    if (total := sum(line.amount for line in lines)) > MAX_AMOUNT:
        raise too_much(amount=total)
    return OrderPlaced(
        customer_id=command.customer_id,
        site=command.site,
        deliver_to=Personal(command.customer_id, msgspec.to_builtins(command.deliver_to)),
        payment_method=command.payment_method,
        currency=command.currency,
        channel=command.channel,
        at=time_of_sale(command.at, known.at),
        lines=lines,
    )


def refuse_what_only_a_trusted_channel_states(command: PlaceOrder) -> None:
    if field := next(reserved_fields(command), ""):
        message = f"`{field}` is stated by trusted channels alone"
        raise Rejected("order.not-yours-to-state", message, field=field)
    if empty := next((line.sku for line in command.lines if line.quantity == 0), ""):
        raise Rejected("order.quantity-missing", f"of {empty} at least 1 must be ordered", sku=empty)


def reserved_fields(command: PlaceOrder) -> Iterator[str]:
    """The stated fields that are reserved to trusted channels."""
    if command.at is not None:
        yield "at"
    for n, line in enumerate(command.lines):
        if line.amount is not None:
            yield f"lines[{n}].amount"
        if line.department is not None:
            yield f"lines[{n}].department"


def refuse_a_sku_named_twice(lines: tuple[RequestedLine, ...]) -> None:
    seen: set[str] = set()
    for line in lines:
        if line.sku in seen:
            raise Rejected("order.sku-twice", f"{line.sku} is on two lines; one line holds it all", sku=line.sku)
        seen.add(line.sku)


def time_of_sale(stated: datetime | None, accepted: datetime) -> datetime:
    """The time of business, in UTC: when the command was accepted, unless the channel states when it was."""
    if stated is None:
        return accepted
    if not EARLIEST <= stated <= accepted + AHEAD:
        message = "the time of a sale is after 1999 and at most a day ahead of now"
        raise Rejected("order.time-out-of-range", message, at=stated.isoformat(), now=accepted.isoformat())
    return stated.astimezone(UTC)
