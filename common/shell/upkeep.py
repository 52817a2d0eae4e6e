"""Looking after the tables of read models once a second: what a projection keeps is compared with what is there.

What is missing is made anew: a read database may have lost all it had. A model whose table was replaced, by whoever, is
followed again from where that one is. A table that was begun beside the live one is built.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import asyncpg

from common.readmodel import ReadModel, building
from common.shell.follower import Follower
from common.shell.patience import AWAY
from common.shell.rebuild import Rebuild
from common.store.checkpoints import Checkpoint, all_checkpoints
from common.store.pool import RolesMissing
from common.store.read_schema import TableDiffers

log = logging.getLogger(__name__)

LOOK_S = 1.0
LOST = (asyncpg.UndefinedTableError, asyncpg.InvalidSchemaNameError, RolesMissing)

Make = Callable[[], Awaitable[None]]
"""Makes the tables as far as they are missing."""


async def unmade() -> None:
    """For tables that somebody else sees to."""


class Upkeep:
    """Looks after these models.

    `follow` has a model followed anew, `build` has a table beside the live one followed, `part` has it no more.
    """

    def __init__(
        self,
        pool: Any,
        models: Iterable[ReadModel],
        schema: str,
        followers: Mapping[str, Follower],
        follow: Callable[[ReadModel], None],
        build: Callable[[Follower], None],
        part: Callable[[str], object],
        make: Make,
    ) -> None:
        self._pool, self._schema, self._followers, self._make = pool, schema, followers, make
        self._models = {model.name: model for model in models}
        self._follow, self._build, self._part = follow, build, part
        self._rebuilds: dict[str, Rebuild] = {}
        self._error, self._now = "", asyncio.Event()

    async def run(self) -> None:
        """Until cancelled."""
        async with asyncio.TaskGroup() as self._group:
            while True:
                self._now.clear()
                await self._look()
                with suppress(TimeoutError):
                    async with asyncio.timeout(LOOK_S):
                        await self._now.wait()

    async def _look(self) -> None:
        try:
            if await self._compare():
                self._error = ""
        except LOST as error:
            await self._make_again(str(error))
        except (*AWAY, TableDiffers) as error:
            self._said(f"{type(error).__name__}: {error}")

    def _said(self, error: str) -> None:
        if error != self._error:  # Said once, not each second.
            log.warning("the read tables cannot be looked after: %s", error)
        self._error = error

    async def _make_again(self, why: str) -> None:
        self._said(f"something is missing and is made again: {why}")
        try:
            await self._make()
        except (*AWAY, TableDiffers) as error:
            self._said(f"{type(error).__name__}: {error}")

    async def _compare(self) -> bool:
        """Compares each model with what is there; False when something had to be made."""
        before = {name: dict(follower.checkpoints) for name, follower in self._followers.items()}
        names = [name for model in self._models.values() for name in (model.name, building(model).name)]
        found = await all_checkpoints(self._pool, names, self._schema)
        if missing := await self._missing(found):
            await self._make_again(", ".join(missing))
            return False
        for name, model in self._models.items():
            await self._compare_model(model, found[name], before.get(name, {}))
            await self._see_to_building(model, found.get(building(model).name, {}))
        return True

    async def _missing(self, found: Mapping[str, object]) -> list[str]:
        """The models that lack their table, or its checkpoints."""
        tables = [f'"{self._schema}"."{name}"' for name in {*self._models, *found}]
        question = "SELECT name FROM unnest($1::text[]) AS name WHERE to_regclass(name) IS NULL"
        gone = await self._pool.fetch(question, tables)
        return [*(name for (name,) in gone), *(name for name in self._models if name not in found)]

    async def _compare_model(
        self, model: ReadModel, found: dict[str, Checkpoint], before: Mapping[str, Checkpoint]
    ) -> None:
        """`before` was known when the places were not yet asked for: they can only be further, unless some was lost."""
        follower = self._followers[model.name]
        if generation(found) != generation(before) and before:
            if follower.detached:
                self._follow(model)
            else:
                await follower.look_again()
        elif follower.detached and follower.standing == "rebuilding":
            follower.checkpoints = found  # Others may still keep it.
        elif any(context in found and each.position > found[context].position for context, each in before.items()):
            await follower.look_again()

    async def _see_to_building(self, model: ReadModel, found: Mapping[str, Checkpoint]) -> None:
        rebuild = self._rebuilds.get(model.name)
        if rebuild and not found:
            await rebuild.follower.look_again()
        if rebuild and rebuild.follower.detached and (not found or generation(found) != rebuild.generation):
            self._part(rebuild.follower.name)
            del self._rebuilds[model.name]
        if found and model.name not in self._rebuilds:
            self._rebuilds[model.name] = begun = Rebuild(self._pool, model, self._schema)
            self._build(begun.follower)
            self._group.create_task(self._run(begun), name=f"rebuild of {model.name}")

    async def _run(self, rebuild: Rebuild) -> None:
        log.info("version %d of %s is built beside the live table", rebuild.model.version, rebuild.model.name)
        await rebuild.run()
        self._now.set()


def generation(found: Mapping[str, Checkpoint]) -> int | None:
    """Which table these are the checkpoints of."""
    return next((each.generation for each in found.values()), None)
