"""Building a read model's next table beside the live one, until it takes its place.

It is fed as every model is, and pages the record at its own pace. As soon as it is as far as the live table it is put
in its place; whoever writes the live one waits that moment. Several processes may build the same table, and a build
that was interrupted goes on: its checkpoints lie beside its rows.
"""

import asyncio
import logging
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import asyncpg

from common.readmodel import ReadModel, building, live_name
from common.shell.follower import Follower
from common.shell.news import Move
from common.shell.patience import AWAY, LONGEST_S
from common.store.checkpoints import Checkpoint, read_checkpoints
from common.store.swap import swap

log = logging.getLogger(__name__)

LOOK_S = 0.1
NEAR = 2048
"""Events that the new table may lack when the swap is tried: it takes them in while those who write wait."""
WAIT_S = 1.0


class Rebuild:
    """Builds one model's table of this version, and swaps."""

    def __init__(self, pool: Any, model: ReadModel, schema: str) -> None:
        self.model, self._pool, self._schema = model, pool, schema
        self._further = asyncio.Event()
        self.follower = Follower(pool, building(model), schema, self._moved, load=begun, building=True)

    @property
    def generation(self) -> int | None:
        """Of the table that is built; None until it is known."""
        return next((each.generation for each in self.follower.checkpoints.values()), None)

    async def run(self) -> None:
        """Until the table is in place, or can never be, or others have done with it."""
        pause = LOOK_S
        while not self.follower.detached:
            await asyncio.sleep(pause)
            try:
                if self._near(await read_checkpoints(self._pool, self.model.name, self._schema)):
                    await self._put_in_place()
            except AWAY as error:
                self._hindered(error)
                pause = min(2 * pause, LONGEST_S)  # Each try keeps others waiting.
            else:
                self.follower.hindrance, pause = "", LOOK_S

    def _hindered(self, error: Exception) -> None:
        """Shows what keeps from the swap. That somebody else holds a lock is no trouble."""
        text = "" if isinstance(error, asyncpg.LockNotAvailableError) else f"{type(error).__name__}: {error}"
        if text and text != self.follower.hindrance:  # Said once, not at each of many tries.
            log.warning("the new table of %s cannot take its place: %s", self.model.name, text)
        self.follower.hindrance = text

    async def _put_in_place(self) -> None:
        if await swap(self._pool, self.model, self._schema, self._reached):
            self.follower.detach(f"has become {live_name(self.follower.name)}", "left")
        else:
            await self.follower.look_again()  # It may be gone.

    def _near(self, live: Mapping[str, Checkpoint]) -> bool:
        return self._at(live, NEAR)

    async def _moved(self, move: Move) -> None:
        self._further.set()

    async def _reached(self, live: Mapping[str, Checkpoint]) -> bool:
        """Waits a moment until it is at these places."""
        with suppress(TimeoutError):
            async with asyncio.timeout(WAIT_S):
                while not self._at(live):
                    self._further.clear()
                    await self._further.wait()
        return self._at(live)

    def _at(self, live: Mapping[str, Checkpoint], lacking: int = 0) -> bool:
        """Whether it lacks no more than so many events of what the live table shows."""
        here = self.follower.checkpoints
        return bool(here) and all(self._shows(context, live.get(context), lacking) for context in here)

    def _shows(self, context: str, live: Checkpoint | None, lacking: int) -> bool:
        """Positions in another record, or in none, say nothing: then it must have come to the head."""
        here = self.follower.checkpoints[context]
        if live is None or live.incarnation not in ("", here.incarnation):
            return context not in self.follower.behind
        return here.position >= live.position - lacking


async def begun(pool: Any, model: ReadModel, schema: str) -> dict[str, Checkpoint]:
    """The checkpoints of a table that is being built; none once it is not any more."""
    return await read_checkpoints(pool, model.name, schema)
