"""Connections in turn: who asked first reads first."""

import asyncio
from collections.abc import AsyncIterator
from itertools import count
from typing import Any

import asyncpg
import pytest
import pytest_asyncio

from common.config import Settings
from common.store.pool import InTurn, open_pool
from tests.servers import until
from tests.store.conftest import Store

SIZE, ASKERS, READS = 2, 8, 20


@pytest_asyncio.fixture
async def pool(settings: Settings, store: Store) -> AsyncIterator[Any]:
    pool = await open_pool(store.dsn, "reader", SIZE)
    yield pool
    pool.terminate()


@pytest_asyncio.fixture
async def in_turn(pool: Any) -> InTurn:
    in_turn = InTurn(pool)
    async with in_turn.acquire(10), in_turn.acquire(10):  # So that from now on nobody waits for one to be opened.
        pass
    return in_turn


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


async def test_what_the_server_has_closed_meanwhile_is_opened_anew(in_turn: InTurn, pool: Any, store: Store) -> None:
    async with in_turn.acquire(10) as connection:
        closed = await connection.fetchval("SELECT pg_backend_pid()")
    login = await asyncpg.connect(store.dsn)
    await login.execute("SELECT pg_terminate_backend($1)", closed)
    await login.close()
    await until(lambda: pool.get_size() < SIZE, 10)
    for _ in range(SIZE + 1):
        async with in_turn.acquire(10) as connection:
            assert await connection.fetchval("SELECT pg_backend_pid()") != closed


async def test_what_has_rested_for_long_is_opened_anew(in_turn: InTurn, monkeypatch: pytest.MonkeyPatch) -> None:
    async def backend() -> int:
        async with in_turn.acquire(10) as connection:
            return int(await connection.fetchval("SELECT pg_backend_pid()"))

    first = await backend()
    assert await backend() == first
    monkeypatch.setattr("common.store.pool.RESTS_S", 0.0)
    assert await backend() != first


async def test_who_is_cancelled_in_the_middle_of_a_question_keeps_no_connection(in_turn: InTurn) -> None:
    async def ask_for_long() -> None:
        async with in_turn.acquire(10) as connection:
            await connection.fetchval("SELECT pg_sleep(60)")

    for _ in range(SIZE + 1):
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(ask_for_long(), 0.05)
    async with in_turn.acquire(10), in_turn.acquire(10) as connection:
        assert await connection.fetchval("SELECT true")
