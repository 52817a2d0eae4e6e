"""delivery, as the shells run it."""

from common.context import Context
from contexts.delivery.commands import (
    CancelDelivery,
    ConfirmDelivered,
    DispatchDelivery,
    ReportFailedAttempt,
    ReturnToSender,
    ScheduleDelivery,
)
from contexts.delivery.decider import Delivery, decide, evolve
from contexts.delivery.events import (
    DeliveryAttemptFailed,
    DeliveryCancelled,
    DeliveryConfirmed,
    DeliveryDispatched,
    DeliveryReturned,
    DeliveryScheduled,
)

CONTEXT = Context(
    name="delivery",
    commands=(
        DispatchDelivery,
        ConfirmDelivered,
        ReportFailedAttempt,
        ReturnToSender,
        ScheduleDelivery,
        CancelDelivery,
    ),
    events=(
        DeliveryScheduled,
        DeliveryCancelled,
        DeliveryDispatched,
        DeliveryAttemptFailed,
        DeliveryConfirmed,
        DeliveryReturned,
    ),
    initial=Delivery(),
    decide=decide,
    evolve=evolve,
)
