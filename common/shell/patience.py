"""Waiting out a database that is away: growing delays with jitter, for ever, shown while it lasts."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import TypeVar

import asyncpg

log = logging.getLogger(__name__)

Result = TypeVar("Result")

COMMAND_FAULTS = ("22", "23", "54")
"""Classes of SQLSTATE that are a command's fault. All others are the server's state, and pass (protocol P3)."""
SHORTEST_S, LONGEST_S = 0.05, 3.0

AWAY = (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""What a database raises that is away, or that went away in the middle; asyncpg's own state machine stumbles then."""


def is_command_fault(error: Exception) -> bool:
    return isinstance(error, asyncpg.PostgresError) and (error.sqlstate or "")[:2] in COMMAND_FAULTS


def unshown(error: str) -> None:
    """For who has no place to show what is waited for: it is logged all the same."""


async def patiently(work: Callable[[], Awaitable[Result]], on_error: Callable[[str], None] = unshown) -> Result:
    """The result of `work`, asked again while the server cannot give one. `on_error` gets each error, then "".

    Each error is logged once, until another takes its place.

    Raises what is a command's fault, and everything that does not come from the database or the network.
    """
    delay, last = SHORTEST_S, ""
    while True:
        try:
            result = await work()
        except AWAY as error:
            if is_command_fault(error):
                raise
            text = f"{type(error).__name__}: {error}"
            if text != last:
                log.warning("the database does not answer, it is asked again and again: %s", text)
            last = text
            on_error(text)
            await asyncio.sleep(delay * random.uniform(0.7, 1.3))
            delay = min(delay * 2, LONGEST_S)
        else:
            on_error("")
            return result
