"""The rules of a delivery: when it may leave, when it can still be stopped, and how it ends."""

from datetime import UTC, datetime
from enum import StrEnum

from msgspec import Struct
from msgspec.structs import replace

from common.context import Known, is_plausible
from common.messages import Event, Rejected
from contexts.delivery.commands import (
    CancelDelivery,
    ConfirmDelivered,
    DispatchDelivery,
    ReportFailedAttempt,
    ReturnToSender,
    ScheduleDelivery,
)
from contexts.delivery.events import (
    DeliveryAttemptFailed,
    DeliveryCancelled,
    DeliveryConfirmed,
    DeliveryDispatched,
    DeliveryReturned,
    DeliveryScheduled,
    ParcelLine,
)

OnTheWay = DispatchDelivery | ConfirmDelivered | ReportFailedAttempt | ReturnToSender
DeliveryCommand = ScheduleDelivery | CancelDelivery | OnTheWay
DeliveryEvent = (
    DeliveryScheduled
    | DeliveryCancelled
    | DeliveryDispatched
    | DeliveryAttemptFailed
    | DeliveryConfirmed
    | DeliveryReturned
)

MOST_ATTEMPTS = 3
TRUSTED, REACTION = "trusted-channel", "reaction"


class Stage(StrEnum):
    """How far a delivery has come."""

    NEW = "new"
    SCHEDULED = "scheduled"
    CANCELLED = "cancelled"
    DISPATCHED = "dispatched"
    DELIVERED = "delivered"
    RETURNED = "returned"


class Delivery(Struct, frozen=True, gc=False):
    """A delivery as its events left it. Where it goes is no matter of any rule, so the address is not kept here."""

    stage: Stage = Stage.NEW
    attempts: int = 0


def decide(command: DeliveryCommand, delivery: Delivery, known: Known) -> list[DeliveryEvent]:
    """What happens when this is asked. Raises `Rejected` when a rule says no."""
    match command, delivery.stage:
        case ScheduleDelivery(), Stage.NEW:
            return [scheduled(command)]
        case ScheduleDelivery(), _:
            return []  # Asked for before; or cancelled ahead of it, and then it stays so.
        case CancelDelivery(reason=reason, at=at), Stage.NEW | Stage.SCHEDULED:
            return [DeliveryCancelled(reason=reason, at=at)]
        case CancelDelivery(), Stage.CANCELLED:
            return []
        case CancelDelivery(order_id=order_id), _:
            raise Rejected("delivery.has-left", f"the delivery of {order_id} has left", state=delivery.stage)
        case _:
            return on_the_way(command, delivery, time_of_business(command.at, known))


def on_the_way(command: OnTheWay, delivery: Delivery, at: datetime) -> list[DeliveryEvent]:
    """What the warehouse and the courier report. What is known already changes nothing."""
    match command, delivery.stage:
        case DispatchDelivery(), Stage.SCHEDULED:
            return [DeliveryDispatched(at=at)]
        case ConfirmDelivered(), Stage.DISPATCHED:
            return [DeliveryConfirmed(at=at)]
        case ReportFailedAttempt(reason=reason), Stage.DISPATCHED:
            return failed(delivery.attempts + 1, reason, at)
        case ReturnToSender(reason=reason), Stage.DISPATCHED:
            return [DeliveryReturned(reason=reason, at=at)]
        case (
            (DispatchDelivery(), Stage.DISPATCHED | Stage.DELIVERED | Stage.RETURNED)
            | (ConfirmDelivered(), Stage.DELIVERED)
            | (ReturnToSender(), Stage.RETURNED)
        ):
            return []
        case _:
            raise refusal(command.order_id, delivery.stage)


def evolve(delivery: Delivery, event: Event) -> Delivery:
    """The delivery after the event."""
    match event:
        case DeliveryScheduled():
            return replace(delivery, stage=Stage.SCHEDULED)
        case DeliveryCancelled():
            return replace(delivery, stage=Stage.CANCELLED)
        case DeliveryDispatched():
            return replace(delivery, stage=Stage.DISPATCHED)
        case DeliveryAttemptFailed(attempt=attempt):
            return replace(delivery, attempts=attempt)
        case DeliveryConfirmed():
            return replace(delivery, stage=Stage.DELIVERED)
        case DeliveryReturned():
            return replace(delivery, stage=Stage.RETURNED)
        case _:
            return delivery


def scheduled(command: ScheduleDelivery) -> DeliveryScheduled:
    lines = tuple(ParcelLine(line.sku, line.quantity) for line in command.lines)
    return DeliveryScheduled(site=command.site, deliver_to=command.deliver_to, lines=lines, at=command.at)


def failed(attempt: int, reason: str, at: datetime) -> list[DeliveryEvent]:
    """The attempt; and, when it was the last one, the way back."""
    events: list[DeliveryEvent] = [DeliveryAttemptFailed(attempt=attempt, reason=reason, at=at)]
    if attempt >= MOST_ATTEMPTS:
        events.append(DeliveryReturned(reason=reason, at=at))
    return events


def time_of_business(stated: datetime | None, known: Known) -> datetime:
    """In UTC: when the command was accepted, unless somebody who may states when it was.

    A reaction repeats a time that was looked at where it was stated; clocks that differ must not stop it.
    """
    if stated is None:
        return known.at
    if REACTION in known.roles:
        return stated
    if TRUSTED not in known.roles:
        raise Rejected("delivery.not-yours-to-state", "`at` is stated by trusted channels alone", field="at")
    if not is_plausible(stated, known.at):
        message = "the time of a delivery is after 1999 and at most a day ahead of now"
        raise Rejected("delivery.time-out-of-range", message, at=stated.isoformat(), now=known.at.isoformat())
    return stated.astimezone(UTC)


def refusal(order_id: str, stage: Stage) -> Rejected:
    """Why nothing can be reported of it at this stage."""
    match stage:
        case Stage.NEW:
            return Rejected("delivery.unknown", f"no delivery is asked for of {order_id}")
        case Stage.SCHEDULED:
            return Rejected("delivery.not-dispatched", f"the delivery of {order_id} has not left yet")
        case Stage.CANCELLED:
            return Rejected("delivery.cancelled", f"the delivery of {order_id} is cancelled")
        case Stage.DELIVERED:
            return Rejected("delivery.already-delivered", f"the delivery of {order_id} has arrived")
        case _:
            return Rejected("delivery.already-returned", f"the delivery of {order_id} has gone back")
