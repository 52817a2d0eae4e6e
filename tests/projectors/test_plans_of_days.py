"""Questions about sales and stock of days read the rows they need, by the key, and stop where the page ends."""

from collections.abc import AsyncIterator, Iterator
from datetime import date
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from common.config import Settings
from common.store.pool import open_pool
from projectors.closing_stock import GetClosingStock, get_closing_stock
from projectors.sales import By, GetSales, get_sales
from tests.projectors.conftest import Shelf

# 2,000 products on 30 days each, 100 sites with 10 departments each, over 2017; and 9 lots of 2,000 products in stock.
SALES = """INSERT INTO read.sales
SELECT sku, department, site, span, 'USD', day, 'web', 'sold', 1, 1, 100, 1 FROM (
    SELECT 'p' || n % 2000, '', '', 'day', date '2017-01-01' + n / 2000 * 12 FROM generate_series(0, 59999) AS n
    UNION ALL SELECT '', '', '', 'day', date '2017-01-01' + n FROM generate_series(0, 364) AS n
    UNION ALL SELECT '', d, s, span, day FROM
        (SELECT '' UNION ALL SELECT 'd' || n FROM generate_series(1, 10) AS n) AS departments(d),
        (SELECT '' UNION ALL SELECT 's' || n FROM generate_series(1, 100) AS n) AS sites(s),
        (SELECT 'day', date '2017-01-01' + 7 * n FROM generate_series(0, 51) AS n
         UNION ALL SELECT 'month', (date '2017-01-01' + n * interval '1 month')::date FROM generate_series(0, 11) AS n)
            AS spans(span, day)
        WHERE d <> '' OR s <> ''
) AS rows(sku, department, site, span, day)"""
STOCK = """INSERT INTO read.closing_stock
SELECT 's' || n % 20, 'p' || n % 2000, date '2017-01-01' + n / 2000 * 40, 1, 1 FROM generate_series(0, 17999) AS n"""
YEAR = {"since": date(2017, 1, 1), "until": date(2018, 1, 1)}
# With how many rows may be read for a page of 20: those of 21 groups, and one that tells that they are over.
QUESTIONS: list[tuple[By, dict[str, Any], int]] = [
    ("day", YEAR, 22),
    ("day", YEAR | {"site": "s7"}, 22),
    ("day", YEAR | {"sku": "p7"}, 22),
    ("week", YEAR, 22 * 7),
    ("week", YEAR | {"department": "d7", "site": "s7"}, 22 * 7),
    ("department", YEAR, 10 * 12),
    ("department", YEAR | {"site": "s7"}, 10 * 12),
    ("department", {"since": date(2017, 2, 10), "until": date(2017, 10, 20)}, 10 * (3 + 7 + 3)),
    ("site", YEAR, 22 * 12),
    ("site", YEAR | {"department": "d7"}, 22 * 12),
    ("site", {"as_of": date(2017, 3, 4)}, 22 * (2 + 1)),
    ("product", YEAR, 22 * 30),
    ("product", YEAR | {"channel": "web"}, 22 * 30),
    ("product", {"since": date(2017, 1, 1), "until": date(2017, 1, 13)}, 22),
    ("product", {"since": date(2019, 1, 1)}, 0),
    ("product", {"channel": "phone"}, 0),
]


class Watched:
    """A connection that tells how many rows were read for what was asked, and by which nodes."""

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.nodes: list[dict[str, Any]] = []

    async def fetch(self, sql: str, *values: Any) -> list[Any]:
        (told,) = await self._connection.fetchrow(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", *values)
        self.nodes += nodes(msgspec.json.decode(told)[0]["Plan"])
        return []

    @property
    def scans(self) -> set[str]:
        return {node["Node Type"] for node in self.nodes if "Relation Name" in node}

    @property
    def rows_read(self) -> int:
        """Those that were looked at once to know whether there is anything are not counted."""
        scans = [
            node for node in self.nodes if "Relation Name" in node and node.get("Parent Relationship") != "InitPlan"
        ]
        return sum(
            int(node["Actual Loops"] * (node["Actual Rows"] + node.get("Rows Removed by Filter", 0))) for node in scans
        )


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for each in plan.get("Plans", ()):
        yield from nodes(each)


@pytest_asyncio.fixture
async def watched(shelf: Shelf, settings: Settings) -> AsyncIterator[Watched]:
    """As the answering process asks, of tables that are full."""
    owner = await open_pool(settings.read_dsn, "owner", 1)
    for statement in (SALES, STOCK, "ANALYZE read.sales", "ANALYZE read.closing_stock"):
        await owner.execute(statement)
    await owner.close()
    pool = await open_pool(settings.read_dsn, "reader", 1)
    async with pool.acquire() as connection:
        yield Watched(connection)
    await pool.close()


async def test_a_page_of_sales_reads_the_rows_of_its_groups_and_no_others(watched: Watched) -> None:
    for by, wanted, most in QUESTIONS:
        watched.nodes = []
        await get_sales(GetSales(by=by, **wanted), watched)
        assert watched.scans <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}, (by, wanted)
        assert watched.rows_read <= most, (by, wanted, watched.rows_read)


@pytest.mark.parametrize(
    ("wanted", "most"), [({"site": "s7"}, 22 * 9), ({"sku": "p7"}, 9), ({"site": "s7", "sku": "p7"}, 9)]
)
async def test_a_page_of_closing_stock_reads_the_movements_of_its_products_and_no_others(
    watched: Watched, wanted: dict[str, Any], most: int
) -> None:
    await get_closing_stock(GetClosingStock(day=date(2018, 1, 1), **wanted), watched)
    assert watched.scans <= {"Index Scan", "Index Only Scan", "Bitmap Heap Scan"}
    assert watched.rows_read <= most
