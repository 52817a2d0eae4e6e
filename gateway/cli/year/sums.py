"""What the file says of the baskets that are in the system: the sums that the views must equal, and what is odd.

In the system are the first baskets, as many as were to be played, and whatever was played of the others before.
"""

from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from msgspec import Struct

from gateway.cli.baskets import Baskets
from gateway.cli.year.wishes import ORDER, SITE
from projectors.sales import By

Key = str
Sums = dict[Key, tuple[int, ...]]

SEEN = """
CREATE OR REPLACE TABLE seen (basket_id BIGINT, state VARCHAR, total BIGINT, paid BIGINT, units BIGINT, lines INTEGER,
    refunded BIGINT, cause VARCHAR);
CREATE OR REPLACE VIEW wanted AS
    SELECT * FROM places WHERE place < {n} OR basket_id IN (SELECT basket_id FROM seen);
CREATE OR REPLACE VIEW sold AS
    SELECT basket_id, wanted.store, wanted.sold_at, product_id, quantity, cents, department
    FROM bought JOIN wanted USING (basket_id) LEFT JOIN known USING (product_id);
"""
COLUMNS = 8
SEE = f"INSERT INTO seen SELECT {', '.join(['unnest(?)'] * COLUMNS)}"

TOTALS = "count(DISTINCT basket_id), count(*), coalesce(sum(quantity), 0)::BIGINT, coalesce(sum(cents), 0)::BIGINT"
SOLD = "count(DISTINCT basket_id), sum(quantity)::BIGINT, sum(cents)::BIGINT"
TOTAL = ("orders", "lines", "units", "revenue")
BY: dict[By, str] = {
    "department": "coalesce(department, 'unknown')",
    "week": "date_trunc('week', sold_at)::DATE::VARCHAR",
    "day": "sold_at::DATE::VARCHAR",
    "site": f"'{SITE}' || store",
    "product": "product_id::VARCHAR",
}
"""What sales are asked by, and what that is in the file. A week is named by its Monday."""

EACH_ORDER = f"""
SELECT '{ORDER}' || w.basket_id, w.lines, w.units, w.cents, s.lines, s.units, s.total
FROM (SELECT basket_id, count(*) AS lines, sum(quantity) AS units, sum(cents) AS cents FROM sold GROUP BY 1) AS w
LEFT JOIN seen AS s USING (basket_id)
WHERE (w.lines, w.units, w.cents) IS DISTINCT FROM (s.lines, s.units, s.total) ORDER BY 1
"""
NOT_DELIVERED = f"""
SELECT '{ORDER}' || basket_id, total, paid, coalesce(state, 'not there') FROM places LEFT JOIN seen USING (basket_id)
WHERE place < ? AND (state, total) IS DISTINCT FROM ('delivered', paid) ORDER BY 1
"""
NOT_SERVED = f"""
SELECT '{ORDER}' || basket_id, cause FROM seen JOIN places USING (basket_id)
WHERE state = 'cancelled' AND cause <> 'asked' ORDER BY 1
"""
NO_BASKET = f"SELECT '{ORDER}' || basket_id FROM seen WHERE basket_id NOT IN (SELECT basket_id FROM places)"
TAKEN = f"""
SELECT '{SITE}' || store, coalesce(sum(quantity) FILTER (state IN ('dispatched', 'delivered')), 0)::BIGINT,
    coalesce(sum(quantity) FILTER (state IN ('reserved', 'confirmed')), 0)::BIGINT
FROM sold JOIN seen USING (basket_id) GROUP BY store
"""
ODD = """
WITH products AS (SELECT DISTINCT product_id FROM sold)
SELECT count(*) FILTER (quantity = 0), count(*) FILTER (quantity = 0 AND cents > 0),
    count(*) FILTER (cents % nullif(quantity, 0) <> 0),
    (SELECT count(*) FROM (SELECT 1 FROM sold GROUP BY basket_id HAVING sum(cents) = 0)),
    (SELECT count(*) FROM (SELECT 1 FROM sold GROUP BY basket_id HAVING max(quantity) = 0)),
    (SELECT count(*) FROM products WHERE product_id NOT IN (SELECT product_id FROM known)),
    (SELECT count(*) FROM products WHERE product_id NOT IN (SELECT product_id FROM priced)),
    (SELECT count(*) FROM known WHERE product_id NOT IN (SELECT product_id FROM products)),
    coalesce(max(quantity), 0)
FROM sold
"""


class Odd(Struct, frozen=True):
    """What is odd in the baskets that are in the system, counted."""

    lines_of_quantity_0: int
    of_these_with_money: int
    amounts_that_do_not_divide: int
    baskets_that_total_0: int
    baskets_of_quantity_0_only: int
    products_in_no_catalogue: int
    products_without_a_price: int
    products_of_the_catalogue_not_sold: int
    largest_quantity: int


class FileSums:
    """The file's own sums, once it is known which orders are in the system."""

    def __init__(self, year: Baskets) -> None:
        self._year, self._file = year, year.file
        self._file.execute(SEEN.format(n=year.n))
        self.strangers: list[str] = []

    def see(self, orders: Iterable[Sequence[Any]]) -> None:
        """These orders are in the system: id, state, total, paid, units, number of lines, refunded, why cancelled."""
        columns: list[list[Any]] = [[] for _ in range(COLUMNS)]
        for order_id, *rest in orders:
            number = order_id.removeprefix(ORDER)
            if number == order_id or not number.isdecimal():
                self.strangers.append(order_id)
                continue
            for column, value in zip(columns, (int(number), *rest), strict=True):
                column.append(value)
        if columns[0]:
            self._file.execute(SEE, columns)

    def total(self) -> tuple[int, ...]:
        """How many orders and lines, units, and cents."""
        (row,) = self._rows(f"SELECT {TOTALS} FROM sold")
        return tuple(row)

    def by(self, what: By, as_of: date = date.max) -> Sums:
        """Orders, units and cents, by one of `BY`, up to a day."""
        question = f"SELECT {BY[what]}, {SOLD} FROM sold WHERE sold_at::DATE <= ? GROUP BY 1"
        return {key: tuple(rest) for key, *rest in self._rows(question, as_of)}

    def middle(self) -> date:
        """The day on which half of it had been sold."""
        ((day,),) = self._rows("SELECT quantile_disc(sold_at::DATE, 0.5) FROM sold")
        assert isinstance(day, date)
        return day

    def orders_that_differ(self) -> list[tuple[Any, ...]]:
        """Id, then lines, units and cents of the file, then the same of the views: None when it is not there."""
        return self._rows(EACH_ORDER)

    def not_delivered(self) -> list[tuple[Any, ...]]:
        """Of those to be played: id, total, paid and state of what is not delivered, or not paid to the cent."""
        return self._rows(NOT_DELIVERED, self._year.n)

    def not_served(self) -> dict[str, str]:
        """Orders that were cancelled though nobody had asked for that, and for what cause."""
        return dict(self._rows(NOT_SERVED))

    def no_baskets(self) -> list[str]:
        """Orders of this channel that the file knows nothing of."""
        return self.strangers + [name for (name,) in self._rows(NO_BASKET)]

    def taken(self) -> Sums:
        """By site: pieces that have left it, and pieces set aside there."""
        return {site: (left, aside) for site, left, aside in self._rows(TAKEN)}

    def states(self) -> dict[str, int]:
        """How many orders are in which state."""
        return dict(self._rows("SELECT state, count(*) FROM seen GROUP BY 1 ORDER BY 2 DESC, 1"))

    def odd(self) -> Odd:
        (row,) = self._rows(ODD)
        return Odd(*row)

    def _rows(self, question: str, *values: Any) -> list[tuple[Any, ...]]:
        return self._file.execute(question, values).fetchall()
