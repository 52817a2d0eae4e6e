"""Connections in turn: who asked first reads first."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count

import pytest
import pytest_asyncio

from common.config import Settings
from common.store.pool import InTurn, open_pool
from tests.store.conftest import Store

SIZE, ASKERS, READS = 2, 8, 20


@pytest_asyncio.fixture
async def in_turn(settings: Settings, store: Store) -> AsyncIterator[InTurn]:
    pool = InTurn(await open_pool(store.dsn, "reader", SIZE))
    async with pool.acquire(10), pool.acquire(10):  # So that from now on nobody waits for one to be opened.
        pass
    yield pool
    pool.terminate()


async def test_who_asked_first_is_given_a_connection_first(in_turn: InTurn) -> None:
    numbers, given = count(), list[int]()

    async def ask() -> None:
        for _ in range(READS):
            number = next(numbers)
            async with in_turn.acquire(10) as connection:
                given.append(number)
                await connection.fetchval("SELECT true")

    await asyncio.gather(*(ask() for _ in range(ASKERS)))
    assert given == list(range(ASKERS * READS))


async def test_who_gave_up_waiting_keeps_nobody_else_from_a_turn(in_turn: InTurn) -> None:
    async with in_turn.acquire(10), in_turn.acquire(10):
        with pytest.raises(TimeoutError):
            async with in_turn.acquire(0.01):
                raise AssertionError("there were two connections only")
    async with in_turn.acquire(0.01) as connection:
        assert await connection.fetchval("SELECT true")


async def test_who_fails_with_a_connection_gives_it_back(in_turn: InTurn) -> None:
    for _ in range(SIZE + 1):
        with pytest.raises(ZeroDivisionError):
            async with in_turn.acquire(10):
                raise ZeroDivisionError
