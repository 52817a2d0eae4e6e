"""Work that runs only while its lease is held."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from typing import Any

from common.shell.lease import LeaseKeeper

CANCEL_AGAIN_S = 2.0


async def under_lease(leases: LeaseKeeper, name: str, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Runs the work whenever the lease is held, and stops it when it is lost."""
    while True:
        await leases.wait_until_held(name)
        tasks = [asyncio.ensure_future(work()), asyncio.ensure_future(leases.wait_until_lost(name))]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await ended(tasks)


async def ended(tasks: Sequence["asyncio.Future[None]"]) -> None:
    """Cancels the tasks, again and again until all are done: a library may drop a cancellation."""
    while pending := [task for task in tasks if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=CANCEL_AGAIN_S)
    await asyncio.gather(*tasks, return_exceptions=True)
