"""One question to the JetStream API, answered or raised."""

from typing import Any

import msgspec
from nats.aio.client import Client

STREAM_NOT_FOUND = 10059
CONSUMER_NOT_FOUND = 10014
INVALID_JSON = 10025


class ApiError(Exception):
    """JetStream said no. `code` is its stable error code (`err_code`)."""

    def __init__(self, code: int, description: str) -> None:
        super().__init__(f"{description} ({code})")
        self.code = code


async def ask_jetstream(nc: Client, verb: str, question: dict[str, Any], timeout_s: float = 5.0) -> dict[str, Any]:
    """The answer to `$JS.API.<verb>`.

    Raises `ApiError`; nats-py's own `NoRespondersError` when nothing answers there, `TimeoutError` when it took longer
    or when the user has no right to ask (the server tells a denial only to the error callback).
    """
    reply = await nc.request(f"$JS.API.{verb}", msgspec.json.encode(question), timeout=timeout_s)
    answer: dict[str, Any] = msgspec.json.decode(reply.data)
    if error := answer.get("error"):
        raise ApiError(error.get("err_code", 0), error.get("description", "no reason given"))
    return answer
