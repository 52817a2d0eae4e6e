"""One whole system for these tests, and somebody who asks it by HTTP."""

import os
import sys
from asyncio import create_subprocess_exec
from asyncio.subprocess import PIPE
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest_asyncio

from common.config import PROJECT
from tests.servers import System, running_system, temporary_data

WAIT = {"Prefer": "wait=30"}


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def system() -> AsyncIterator[System]:
    with temporary_data() as folder:
        async with running_system(folder) as found:
            yield found


class Door:
    """The HTTP door, as one principal sees it."""

    def __init__(self, http: httpx.AsyncClient) -> None:
        self.http = http

    async def post(self, path: str, **body: Any) -> httpx.Response:
        """The answer once the command is decided."""
        return await self.http.post(path, json=body, headers=WAIT)

    async def accepted(self, path: str, **body: Any) -> dict[str, Any]:
        """The receipt."""
        answer = await self.post(path, **body)
        assert (answer.status_code, answer.json().get("state")) == (200, "accepted"), answer.text
        receipt: dict[str, Any] = answer.json()
        return receipt

    async def refused(self, path: str, **body: Any) -> str:
        """The code of the rule that said no."""
        answer = await self.post(path, **body)
        assert answer.status_code == 409, answer.text
        return str(answer.json()["code"])

    async def get(self, path: str) -> Any:
        answer = await self.http.get(path)
        assert answer.status_code == 200, answer.text
        return answer.json()


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def storefront(system: System) -> AsyncIterator[Door]:
    async with door(system, "storefront") as found:
        yield Door(found)


@pytest_asyncio.fixture(scope="package", loop_scope="session")
async def operator(system: System) -> AsyncIterator[Door]:
    async with door(system, "operator") as found:
        yield Door(found)


def door(system: System, principal: str) -> httpx.AsyncClient:
    headers = {"X-API-Key": system.settings.api_key(principal)}
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=system.url, headers=headers, timeout=40, trust_env=False, limits=limits)


async def daybook(system: System, *words: str, typed: str = "") -> tuple[int, str]:
    """The command `daybook` on this system: its exit code, and what it said."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    env |= {"DAYBOOK_DATA": str(system.settings.data), "PYTHONPATH": str(PROJECT)}
    process = await create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", *words, env=env, stdin=PIPE, stdout=PIPE, stderr=PIPE
    )
    out, err = await process.communicate(typed.encode())
    assert process.returncode is not None
    return process.returncode, (out + err).decode()
