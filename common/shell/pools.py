"""Pools of connections, as soon as their databases are there."""

from collections.abc import Callable
from typing import Any

import asyncpg

from common.shell.patience import patiently
from common.store.pool import Role, open_pool


async def pool_when_there(dsn: str, role: Role, troubled: Callable[[str], None]) -> Any:
    """A pool, as soon as its database lets us in with this role. `troubled` gets each error until then, then ""."""

    async def opened() -> Any:
        try:
            return await open_pool(dsn, role)
        except asyncpg.DataError as error:  # The role is not there: nobody has provisioned this server yet.
            raise ConnectionError(str(error)) from error

    return await patiently(opened, troubled)
