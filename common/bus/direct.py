"""Reading stored messages straight from a stream that allows it (ADR-31): one, or many for a single question."""

from typing import Any

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.bus.api import ApiError

ANSWER_S = 5.0
NO_MESSAGE, END = "404", "204"


async def one(nc: Client, stream: str, subject: str) -> Msg | None:
    """The last message of a subject, None when there is none.

    Raises nats-py's `NoRespondersError` when there is no such stream, `TimeoutError` when nobody answers.
    """
    found = await nc.request(f"$JS.API.DIRECT.GET.{stream}.{subject}", b"", timeout=ANSWER_S)
    return None if status_of(found) == NO_MESSAGE else found


async def direct(nc: Client, stream: str, question: dict[str, Any]) -> list[Msg]:
    """All messages that answer one question. Raises as `one`, and `ApiError` for a question that cannot be answered."""
    found: list[Msg] = []
    inbox = nc.new_inbox()
    subscription = await nc.subscribe(inbox, pending_msgs_limit=0, pending_bytes_limit=0)
    try:
        await nc.publish(f"$JS.API.DIRECT.GET.{stream}", msgspec.json.encode(question), reply=inbox)
        while True:
            message = await subscription.next_msg(timeout=ANSWER_S)
            match status_of(message):
                case None:
                    found.append(message)
                case "503":
                    raise nats.errors.NoRespondersError
                case status if status in (END, NO_MESSAGE):
                    return found
                case status:
                    raise ApiError(int(status), (message.headers or {}).get("Description", ""))
    finally:
        await subscription.unsubscribe()


def status_of(answer: Msg) -> str | None:
    """What the server says instead of a message; None for a stored message, whatever status that has itself."""
    headers = answer.headers or {}
    return None if "Nats-Sequence" in headers else headers.get("Status")
