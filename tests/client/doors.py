"""The HTTP door of a system, as one of its principals has it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx

from tests.servers import System


@asynccontextmanager
async def door(system: System, principal: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that gives the principal's key with each request."""
    headers = {"X-API-Key": system.settings.api_key(principal)}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=40, trust_env=False) as client:
        yield client
