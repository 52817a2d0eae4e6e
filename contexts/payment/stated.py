"""When something is asked of a payment, as those may state it who may."""

from datetime import UTC, datetime

from common.context import Known, is_plausible
from common.messages import Rejected

TRUSTED, REACTION = "trusted-channel", "reaction"


def time_of(at: datetime | None, known: Known) -> datetime:
    """The time of business, in UTC: when the command was accepted, unless somebody states it who may.

    A reaction repeats a time that was looked at where it was stated; clocks that differ must not stop a payment.
    """
    if at is None:
        return known.at
    if REACTION in known.roles:
        return at
    if TRUSTED not in known.roles:
        raise Rejected("payment.not-yours-to-state", "`at` is stated by trusted channels alone", field="at")
    if not is_plausible(at, known.at):
        message = "the time of business is after 1999 and at most a day ahead of now"
        raise Rejected("payment.time-out-of-range", message, at=at.isoformat(), now=known.at.isoformat())
    return at.astimezone(UTC)
