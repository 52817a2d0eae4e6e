"""One question to the JetStream API, answered or raised."""

import base64
from collections.abc import Mapping
from typing import Any

import msgspec
from nats.aio.client import Client

NO_MESSAGE = 10037
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


async def stored_message(nc: Client, stream: str, timeout_s: float = 5.0, **which: Any) -> dict[str, Any] | None:
    """A stored message as the API gives it, by `seq` or `next_by_subj` or both; None where there is none.

    Raises as `ask_jetstream`.
    """
    try:
        answer = await ask_jetstream(nc, f"STREAM.MSG.GET.{stream}", which, timeout_s)
    except ApiError as error:
        if error.code == NO_MESSAGE:
            return None
        raise
    message: dict[str, Any] = answer["message"]
    return message


def stored_headers(message: Mapping[str, Any]) -> dict[str, str]:
    """The headers of a stored message, which the API gives as base64 of `NATS/1.0` and lines `Name: value`."""
    lines = base64.b64decode(message.get("hdrs", "")).decode("utf-8", "replace").split("\r\n")[1:]
    return {name.strip(): value.strip() for name, colon, value in (line.partition(":") for line in lines) if colon}
