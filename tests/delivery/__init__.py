"""The rules of a delivery, as sentences; and what the sentences are made of."""

from datetime import UTC, datetime, timedelta

from common.personal import Personal
from contexts.delivery.commands import (
    CancelDelivery,
    ConfirmDelivered,
    DispatchDelivery,
    Goods,
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
from tests.scenario import NOW

YESTERDAY = NOW - timedelta(days=1)
LAST_YEAR = datetime(2025, 11, 27, 18, 30, tzinfo=UTC)
HOME = Personal("ada", sealed="c29tZXdoZXJlIGluIFNwcmluZ2ZpZWxkLCBhcyBhIHNlYWw=")

SCHEDULE = ScheduleDelivery("o1", "springfield", HOME, (Goods("bananas", 2), Goods("bread", 1)), YESTERDAY)
CANCEL = CancelDelivery("o1", "changed my mind", YESTERDAY)
DISPATCH, CONFIRM = DispatchDelivery("o1"), ConfirmDelivered("o1")
NOBODY_HOME = ReportFailedAttempt("o1", "nobody at home")
SEND_BACK = ReturnToSender("o1", "address unknown")

SCHEDULED = DeliveryScheduled(
    site="springfield", deliver_to=HOME, lines=(ParcelLine("bananas", 2), ParcelLine("bread", 1)), at=YESTERDAY
)
CANCELLED = DeliveryCancelled(reason="changed my mind", at=YESTERDAY)
DISPATCHED, CONFIRMED = DeliveryDispatched(at=NOW), DeliveryConfirmed(at=NOW)
SENT_BACK = DeliveryReturned(reason="address unknown", at=NOW)


def attempt_failed(number: int) -> DeliveryAttemptFailed:
    return DeliveryAttemptFailed(attempt=number, reason="nobody at home", at=NOW)
