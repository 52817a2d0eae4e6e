"""Every query finds its rows by an index, without a look at its values, and every index is one that a query goes by."""

import re
from collections.abc import AsyncIterator, Mapping
from datetime import timedelta
from typing import Any

import pytest_asyncio

from common.config import Settings
from common.store.pool import open_pool
from projectors import catalogue_words, customers, deliveries, orders, payments, products, stock_levels
from projectors.customers import GetCustomer
from projectors.deliveries import GetDelivery, ListDeliveries
from projectors.orders import GetOrder, ListCustomerOrders, ListOrders
from projectors.payments import GetPayment
from projectors.products import GetProduct, ListProducts
from projectors.stock_levels import GetStockLevel, ListProductStock, ListStock
from tests.load.plans import plan_of
from tests.projectors.conftest import NOON, Shelf

TIME = "timestamptz '2026-03-01 12:00:00Z' + n * interval '1 minute'"
FILLED = {
    "products": """(product_id, sku, name, department, price, currency, description, discontinued, words,
        available, position_product, position_stock, version)
        SELECT 'p' || n, n, 'Milk', 'd' || n % 30, n % 999, 'USD', '', false,
            jsonb_build_array(n::text, 'milk', 'word' || n % 300), 1, n, n, 1 FROM generate_series(1, 6000) AS n""",
    "catalogue_words": """(word, uses, position_product)
        SELECT 'milk', 60000, 1 UNION ALL SELECT 'word' || n, 20, n FROM generate_series(0, 299) AS n""",
    "orders": f"""(order_id, customer_id, site, channel, currency, state, total, units, lines, payment_method,
        placed_at, paid, refunded, delivered_at, cancelled_at, position_order, version)
        SELECT 'o' || n, 'c' || n % 300, 's' || n % 100, 'web', 'USD',
            CASE n % 50 WHEN 0 THEN 'cancelled' WHEN 1 THEN 'placed' ELSE 'delivered' END, 9, 1, '[]', 'pm_ok', {TIME},
            9, 0, CASE WHEN n % 50 > 1 THEN {TIME} END, CASE WHEN n % 50 = 0 THEN {TIME} END, n, 1
        FROM generate_series(1, 6000) AS n""",
    "deliveries": f"""(order_id, site, state, attempts, lines, asked_at, ended_at, reason, position_delivery, version)
        SELECT 'o' || n, 's' || n % 100,
            CASE n % 50 WHEN 0 THEN 'returned' WHEN 1 THEN 'scheduled' ELSE 'delivered' END, 0, '[]', {TIME},
            CASE WHEN n % 50 <> 1 THEN {TIME} END, CASE WHEN n % 50 = 0 THEN 'refused' END, n, 1
        FROM generate_series(1, 6000) AS n""",
    "stock_levels": """(site, sku, on_hand, reserved, position_stock)
        SELECT 's' || n % 100, n / 100, 1, 0, n FROM generate_series(1, 6000) AS n""",
}
PRICES: dict[str, Any] = {"min_price": 10, "max_price": 99, "currency": "USD"}
MODULES = (catalogue_words, customers, deliveries, orders, payments, products, stock_levels)
HANDLERS: Mapping[Any, Any] = {query: handler for module in MODULES for query, handler in module.QUERIES.items()}
ORDERS, PRODUCTS = "orders_placed_at_desc_order_id_desc", "products_pkey"
WORDS = ("catalogue_words_using_gin_word_gin_trgm_ops", "products_using_gin_words")
UNDERWAY, UNDONE = (name for name, what in orders.TABLE.indexes if "WHERE" in what)
PARCELS_UNDERWAY, PARCELS_UNDONE = (name for name, what in deliveries.TABLE.indexes if "WHERE" in what)
ASKED: list[tuple[Any, tuple[str, ...]]] = [
    (GetProduct("7"), (PRODUCTS,)),
    (ListProducts(), (PRODUCTS,)),
    (ListProducts(department="d7"), ("products_department_sku",)),
    (ListProducts(**PRICES), ("products_currency_price_sku",)),
    (ListProducts(min_price=10, currency="USD"), ("products_currency_price_sku",)),
    (ListProducts(department="d7", **PRICES), ("products_department_currency_price_sku",)),
    (ListProducts(q="word7"), WORDS),
    (ListProducts(q="word7 milk", department="d7"), WORDS),
    (ListProducts(q="wrod77"), WORDS),
    (ListProducts(q="milk"), (WORDS[0], PRODUCTS)),
    (ListProducts(q="milk", **PRICES), (WORDS[0], "products_currency_price_sku")),
    (GetStockLevel("s7", "7"), ()),  # Either of both.
    (ListStock(site="s7"), ("stock_levels_pkey",)),
    (ListProductStock(sku="7"), ("stock_levels_sku_site",)),
    (GetOrder("o7"), ("orders_pkey",)),
    (ListOrders(), (ORDERS,)),
    (ListOrders(since=NOON, until=NOON + timedelta(hours=1)), (ORDERS,)),
    (ListOrders(state="delivered"), (ORDERS,)),
    (ListOrders(state="placed"), (UNDERWAY,)),
    (ListOrders(state="cancelled"), (UNDONE,)),
    (ListOrders(state="returned", since=NOON), (UNDONE,)),
    (ListOrders(customer="c7"), ("orders_customer_id_placed_at_desc_order_id_desc",)),
    (ListOrders(site="s7", since=NOON), ("orders_site_placed_at_desc_order_id_desc",)),
    (ListCustomerOrders(customer_id="c7"), ("orders_customer_id_placed_at_desc_order_id_desc",)),
    (GetCustomer("c7"), ("customers_pkey",)),
    (GetPayment("o7"), ("payments_pkey",)),
    (GetDelivery("o7"), ("deliveries_pkey",)),
    (ListDeliveries(), ("deliveries_asked_at_order_id",)),
    (ListDeliveries(state="delivered"), ("deliveries_asked_at_order_id",)),
    (ListDeliveries(state="scheduled"), (PARCELS_UNDERWAY,)),
    (ListDeliveries(state="dispatched"), (PARCELS_UNDERWAY,)),  # There is none: all those of no use are not read.
    (ListDeliveries(state="returned"), (PARCELS_UNDONE,)),
    (ListDeliveries(state="cancelled"), (PARCELS_UNDONE,)),
    (ListDeliveries(site="s7"), ("deliveries_site_asked_at_order_id",)),
]
"""What is asked, and what it goes by."""


@pytest_asyncio.fixture
async def connection(shelf: Shelf, settings: Settings) -> AsyncIterator[Any]:
    """As the answering process asks, of tables that are full."""
    owner = await open_pool(settings.read_dsn, "owner", 1)
    for table, rows in FILLED.items():
        await owner.execute(f"INSERT INTO read.{table} {rows}")
        await owner.execute(f"ANALYZE read.{table}")
    await owner.close()
    pool = await open_pool(settings.read_dsn, "reader", 1)
    async with pool.acquire() as connection:
        yield connection
    await pool.close()


async def test_every_query_goes_by_the_index_that_is_there_for_it(connection: Any) -> None:
    for query, names in ASKED:
        plan = await plan_of(connection, HANDLERS[type(query)], query)
        assert not plan.read_whole, (query, plan)
        assert set(names) <= set(plan.indexes), (query, plan)


def test_every_query_is_tested_here() -> None:
    assert {type(query) for query, _ in ASKED} == set(HANDLERS)


def test_there_is_no_index_that_no_query_goes_by() -> None:
    used = {name for _, names in ASKED for name in names}
    assert {name for module in MODULES for name, _ in module.TABLE.indexes} <= used


async def test_a_page_in_order_reads_its_own_rows_and_no_others(connection: Any) -> None:
    for query in (
        ListProducts(),
        ListProducts(department="d7"),
        ListProducts(**PRICES),
        ListProducts(q="milk"),
        ListStock(site="s7"),
        ListProductStock(sku="7"),
        ListOrders(),
        ListOrders(state="placed"),
        ListOrders(state="cancelled"),
        ListOrders(site="s7"),
        ListDeliveries(),
        ListDeliveries(state="scheduled"),
        ListDeliveries(state="returned"),
    ):
        plan = await plan_of(connection, HANDLERS[type(query)], query)
        looked_up = 1 if isinstance(query, ListProducts) and query.q else 0
        assert plan.read <= query.limit + 1 + looked_up, (query, plan)


def test_what_changes_often_is_in_no_index() -> None:
    """Each row has its next version on its own page (HOT), as long as no column of an index changes."""
    indexed = {
        products.TABLE: {"available", "position_stock"},
        stock_levels.TABLE: {"on_hand", "reserved", "position_stock"},
        orders.TABLE: {"state", "paid", "refunded", "dispatched_at", "payment_problem", "position_order", "version"},
        deliveries.TABLE: {"state", "attempts", "dispatched_at", "position_delivery", "version"},
        catalogue_words.TABLE: {"uses", "position_product"},
    }
    for table, moving in indexed.items():
        for name in moving:
            for _, what in table.indexes:
                assert not re.search(rf"\b{name}\b", what), (table.name, name, what)
        assert table.model.fillfactor < 100
