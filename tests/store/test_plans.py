"""Statements keep the plan that was made when the tables were empty, so that plan must suit full ones."""

import re

from msgspec.structs import replace

from common.store.append_sql import build_statement
from common.store.load import Loader
from common.store.reader import BRIEF
from common.store.traces import EVENTS, FOUND
from contexts.order.wiring import CONTEXT as ORDER
from contexts.stock.wiring import CONTEXT as STOCK
from tests.shell.lending import lending
from tests.store.conftest import Store

SCANS = re.compile(r"Seq Scan on (?!head)(\w+)")


async def plan(store: Store, sql: str) -> str:
    """The plan that does not look at the values."""
    unknown = ", ".join("NULL" for _ in range(max(int(n) for n in re.findall(r"\$(\d+)", sql))))
    async with store.pool.acquire() as connection:
        await connection.execute(f"PREPARE asked AS {sql}")
        await connection.execute("SET plan_cache_mode = force_generic_plan")
        rows = await connection.fetch(f"EXPLAIN EXECUTE asked ({unknown})")
        await connection.execute("DEALLOCATE asked")
    return "\n".join(row[0] for row in rows)


async def test_the_load_goes_by_index_on_empty_tables_too(store: Store) -> None:
    found = await plan(store, Loader(lending(store.name))._sql)
    assert not SCANS.findall(found), found
    for index in ("receipts_pkey", "events_stream_version_key", "claims_pkey", "parked_held"):
        assert index in found


async def test_the_load_of_a_context_with_snapshots_goes_by_index_on_empty_tables_too(store: Store) -> None:
    found = await plan(store, Loader(replace(STOCK, name=store.name))._sql)
    assert not SCANS.findall(found), found
    assert "snapshots_pkey" in found
    assert re.search(r"Index Cond: \(\(stream = \S+\) AND \(version > ", found), found
    assert len(re.findall(r"snapshots_pkey.*\n +Index Cond", found)) == 2, found
    assert len(re.findall(r"on events l\S* .*\n +Index Cond: \(\(stream = \S+\) AND \(version = ", found)) == 2, found


async def test_the_append_goes_by_index_on_empty_tables_too(store: Store) -> None:
    found = await plan(store, build_statement(store.name, claims=True, rows=True, parked=True, deadlines=True))
    assert not SCANS.findall(found), found


async def test_folds_and_traces_go_by_index_on_empty_tables_too(store: Store) -> None:
    """The traces by the two partial indexes, which cost the usual append nothing, and by the keys."""
    found = [await plan(store, sql.replace("{s}", f'"{store.name}"')) for sql in (BRIEF, FOUND, EVENTS)]
    assert not any(SCANS.findall(each) for each in found), found
    used = ["events_stream_version_key"], ["receipts_caused", "receipts_eventless", "receipts_pkey"], ["events_pkey"]
    for names, each in zip(used, found, strict=True):
        assert all(name in each for name in names), each


def test_order_asks_for_its_price_list_by_sku() -> None:
    """So that the primary key serves: the table is made by another part, and not there in the test above."""
    assert ORDER.reference
    assert ORDER.reference.model.key == ("sku",)
