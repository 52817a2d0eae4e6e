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
from common.shell.patience import AWAY
from common.shell.unanswered import Unanswered
from common.shell.wish import After
from common.subjects import receipt_subject

AskReceipt = Callable[[str, str, str], Awaitable[Receipt | None]]
"""The stored receipt of a principal's command in a context, None when there is none. Raises `TimeoutError`, `OSError`
or what a database away raises when nobody answers."""

ID_USED = "command-id-used"
FIRST_LOOK_S, LONGEST_LOOK_S = 0.5, 2.0
SHORTEST_ANSWER_S, LONGEST_ANSWER_S = 0.25, 1.0


async def decision(nc: Client, ask: AskReceipt, principal: str, after: After, within: float) -> Receipt:
    """The receipt of the principal's command that is named, as soon as it is there.

    Raises `Unanswered` after so many seconds: it is not decided, or nobody could say whether it is.
    """
    arrived: asyncio.Future[Receipt] = asyncio.get_running_loop().create_future()

    async def hear(message: Msg) -> None:
        if (message.headers or {}).get(VERSION_HEADER) != VERSION or arrived.done():
            return  # Without our header it is a server's acknowledgement, steered here by a forged reply subject.
        with suppress(msgspec.MsgspecError):
            receipt = receipt_decoder.decode(message.data)
            if receipt.code != ID_USED:  # That one answers somebody who has used the id for another command.
                arrived.set_result(receipt)

    subscription = await nc.subscribe(receipt_subject(principal, after.context, after.command_id), cb=hear)
    deadline, pause, answered = monotonic() + within, FIRST_LOOK_S, False
    try:
        while True:
            left = deadline - monotonic()
            with suppress(TimeoutError, *AWAY):
                async with asyncio.timeout(min(max(left, SHORTEST_ANSWER_S), LONGEST_ANSWER_S)):
                    if stored := await ask(principal, after.context, after.command_id):
                        return stored
                answered = True
            if (left := deadline - monotonic()) <= 0:
                raise undecided(after, answered)
            with suppress(TimeoutError):
                return await asyncio.wait_for(asyncio.shield(arrived), min(pause, left))
            pause = min(2 * pause, LONGEST_LOOK_S)
    finally:
        with suppress(nats.errors.Error):  # The connection is gone, and the subscription with it.
            await subscription.unsubscribe()


def undecided(after: After, answered: bool) -> Unanswered:
    members = {"context": after.context, "command_id": after.command_id}
    if answered:
        return Unanswered(
            503, "undecided", f"the command {after.command_id} to {after.context} is undecided", **members
        )
    return Unanswered(503, "no-answer", f"nobody could say whether {after.command_id} is decided", **members)


async def place_after(nc: Client, ask: AskReceipt, principal: str, after: After, within: float) -> After:
    """The position that the command has led to. Raises `Unanswered` when it is not decided in time, or parked."""
    receipt = await decision(nc, ask, principal, after, within)
    if receipt.state == "parked":
        detail = f"the command {after.command_id} to {after.context} is parked"
        raise Unanswered(503, "parked", detail, context=after.context, command_id=after.command_id)
    return After(after.context, position=receipt.position, incarnation=receipt.incarnation)
