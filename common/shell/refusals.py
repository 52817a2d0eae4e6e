"""What a stream answers to the relay, and what may be wrong between the two (protocol P7)."""

from typing import Any

import msgspec
from nats.aio.msg import Msg

WRONG_LAST_ID, WRONG_LAST_SEQUENCE = 10070, 10071


class Refused(Exception):
    """The stream did not take a batch as it was, or did not say so in time."""


class Overtaken(Refused):
    """Somebody else's message came between the tail and a batch."""


class Stalled(Exception):
    """The store is not the one that the stream was filled from: somebody has to decide (protocol P10)."""


def acknowledgement(message: Msg) -> dict[str, Any]:
    """What the stream answered to a publish; an empty answer means that no stream listens there."""
    try:
        answer: dict[str, Any] = msgspec.json.decode(message.data)
    except msgspec.MsgspecError:
        return {"error": (message.headers or {}).get("Status", "no answer")}
    return answer


def refusal(error: Any) -> Refused:
    """What the stream had against a batch."""
    raced = isinstance(error, dict) and error.get("err_code") in (WRONG_LAST_ID, WRONG_LAST_SEQUENCE)
    return Overtaken(str(error)) if raced else Refused(str(error))
