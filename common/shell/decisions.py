"""Waiting for the decision on a command: its receipt is pushed once, and stored for ever.

A push may be lost, or have come before anybody listened. So the store is asked first, now and then, and last.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic

import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.recorded import VERSION, VERSION_HEADER, Receipt, receipt_decoder
from common.shell.unanswered import Unanswered
from common.shell.wish import After
from common.subjects import receipt_subject

AskReceipt = Callable[[str, str, str], Awaitable[Receipt | None]]
"""The stored receipt of a principal's command in a context, None when there is none or nobody answers."""

ID_USED = "command-id-used"
FIRST_LOOK_S = 0.5


async def decided(
    nc: Client, ask: AskReceipt, principal: str, context: str, command_id: str, within: float
) -> Receipt | None:
    """The receipt, as soon as it is there; None when there is none after so many seconds."""
    arrived: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

    async def hear(message: Msg) -> None:
        if (message.headers or {}).get(VERSION_HEADER) != VERSION or arrived.done():
            return  # Without our header it is a server's acknowledgement, steered here by a forged reply subject.
        with suppress(msgspec.MsgspecError):
            receipt = receipt_decoder.decode(message.data)
            if receipt.code != ID_USED:  # That one answers somebody who has used the id for another command.
                arrived.set_result(receipt)

    subscription = await nc.subscribe(receipt_subject(principal, context, command_id), cb=hear)
    deadline, pause = monotonic() + within, FIRST_LOOK_S
    try:
        while not (stored := await ask(principal, context, command_id)) and (left := deadline - monotonic()) > 0:
            with suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(arrived), min(pause, left))
            pause *= 2
        return stored
    finally:
        with suppress(nats.errors.Error):  # The connection is gone, and the subscription with it.
            await subscription.unsubscribe()


async def position_of(nc: Client, ask: AskReceipt, principal: str, after: After, within: float) -> int:
    """The position that a command of the principal has led to. Raises `Unanswered` when it is not decided in time."""
    receipt = await decided(nc, ask, principal, after.context, after.command_id, within)
    if receipt is None or receipt.state == "parked":
        state = receipt.state if receipt else "undecided"
        detail = f"the command {after.command_id} to {after.context} is {state}"
        raise Unanswered(503, state, detail, context=after.context, command_id=after.command_id)
    return receipt.position
