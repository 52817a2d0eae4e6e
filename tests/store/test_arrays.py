"""What is sent as an array: lists and tuples of plain values, and nothing that would be looked at value by value."""

import asyncpg
import pytest

from common.store.pool import open_pool
from tests.store.conftest import Store


@pytest.mark.parametrize("sent", [["a", None, "b"], ("a", None, "b")])
async def test_lists_and_tuples_are_arrays(store: Store, sent: object) -> None:
    pool = await open_pool(store.dsn, "reader", 1)
    assert await pool.fetchval("SELECT $1::text[]", sent) == ["a", None, "b"]
    assert await pool.fetchval("SELECT $1::bigint[]", [[1, 2], [3, 4]]) == [[1, 2], [3, 4]]
    pool.terminate()


@pytest.mark.parametrize("sent", [{"a"}, "abc", {"a": 1}.keys()])
async def test_nothing_else_is_an_array(store: Store, sent: object) -> None:
    pool = await open_pool(store.dsn, "reader", 1)
    with pytest.raises(asyncpg.DataError, match="container expected"):
        await pool.fetchval("SELECT $1::text[]", sent)
    pool.terminate()
