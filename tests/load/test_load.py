"""The comparison compares what it says: the monolith does all its work, the client counts right, rounds are pairs."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from tests.load.closed_loop import closed_loop, post_request
from tests.load.compare import summary
from tests.load.measure import Round, measured, quantile_ms
from tests.load.systems import Monolith, running_monolith
from tests.servers import temporary_data

LINE = {"sku": "1", "quantity": 3, "amount": 1000, "department": "DAIRY"}
HOME = {"name": "A", "street": "B", "city": "C", "postal_code": "D", "country": "US"}
ORDER: dict[str, Any] = {
    "customer_id": "h1",
    "site": "s1",
    "deliver_to": HOME,
    "payment_method": "pm_ok",
    "currency": "USD",
    "lines": [LINE],
}


@pytest_asyncio.fixture(scope="module")
async def monolith() -> AsyncIterator[Monolith]:
    with temporary_data() as data:
        async with running_monolith(data) as system:
            yield system


def order(system: Monolith, key: str = "", **changed: Any) -> bytes:
    return post_request("/orders", key or system.key, msgspec.json.encode(ORDER | changed))


async def test_each_order_is_a_receipt_an_event_and_a_row_and_is_visible_when_answered(monolith: Monolith) -> None:
    load = closed_loop(monolith.port, [order(monolith)], 4, 0.2)
    run = await measured("monolith", monolith, monolith.pids, load)
    assert run.accepted > 0
    assert run.refused == 0
    assert run.cpu_us.keys() == {"client", "monolith", "monolith-postgres"}
    for table in ("receipts", "events", "orders"):
        assert await monolith.database.fetchval(f"SELECT count(*) FROM {table}") == await monolith.rows()
    row = await monolith.database.fetchrow("SELECT state, total, units FROM orders LIMIT 1")
    assert tuple(row) == ("placed", 1000, 3)


async def test_both_ways_of_the_monolith_write_the_same(monolith: Monolith) -> None:
    for route in ("/orders", "/orders/at-once"):
        before = [
            await monolith.database.fetchval(f"SELECT count(*) FROM {t}") for t in ("receipts", "events", "orders")
        ]
        request = post_request(route, monolith.key, msgspec.json.encode(ORDER))
        run = await closed_loop(monolith.port, [request], 1, 0.05)
        after = [
            await monolith.database.fetchval(f"SELECT count(*) FROM {t}") for t in ("receipts", "events", "orders")
        ]
        assert [number - old for number, old in zip(after, before, strict=True)] == [run.accepted] * 3


async def test_the_monolith_refuses_what_daybook_refuses(monolith: Monolith) -> None:
    wrong = [
        order(monolith, currency="usd"),
        order(monolith, colour="red"),
        order(monolith, lines=[LINE, LINE]),
        order(monolith, lines=[LINE | {"quantity": -1}]),
        order(monolith, at="1999-12-31T00:00:00Z"),
    ]
    before = await monolith.rows()
    run = await closed_loop(monolith.port, wrong, 1, 0.1)
    assert (set(run.statuses), run.accepted) == ({400}, 0)
    assert (await closed_loop(monolith.port, [order(monolith, "another")], 1, 0.01)).statuses.keys() == {401}
    assert await monolith.rows() == before


async def test_the_closed_loop_has_one_request_at_a_time_on_each_connection_however_answers_arrive() -> None:
    waiting, most = 0, 0

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal waiting, most
        while await reader.read(1000):
            waiting, most = waiting + 1, max(most, waiting + 1)
            for part in (b"HTTP/1.1 20", b"2 Accepted\r\nContent-", b"Length: 2\r\n", b"\r\n{", b"}"):
                writer.write(part)
                await writer.drain()
                await asyncio.sleep(0)
            waiting -= 1
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    run = await closed_loop(port, [b"POST / HTTP/1.1\r\n\r\n"], 3, 0.1)
    server.close()
    assert run.statuses == {202: len(run.latencies)}
    assert run.accepted >= 3
    assert most <= 3


async def test_a_server_that_hangs_up_ends_the_loop() -> None:
    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.close()

    server = await asyncio.start_server(hang_up, "127.0.0.1", 0)
    with pytest.raises(OSError, match="closed the connection"):
        await closed_loop(server.sockets[0].getsockname()[1], [b"POST / HTTP/1.1\r\n\r\n"], 1, 1)
    server.close()


def test_a_ratio_is_the_median_of_the_rounds_own_ratios() -> None:
    def rounds(monolith: float, http: float, nats: float) -> list[Round]:
        rates = {"monolith": monolith, "monolith_at_once": 2 * monolith, "http_128": http, "nats": nats}
        return [Round(path, 1, 0, rate, rate, 1, 1, {}) for path, rate in rates.items()]

    result = summary(1, 1, rounds(100, 200, 300) + rounds(1000, 1500, 5000) + rounds(100, 300, 350))
    assert result.ratios == {
        "http_128_vs_monolith": 2.0,
        "http_128_vs_monolith_at_once": 1.0,
        "nats_vs_monolith": 3.5,
        "nats_vs_monolith_at_once": 1.75,
    }
    assert result.visible_per_s == {"monolith": 100, "monolith_at_once": 200, "http_128": 300, "nats": 350}


def test_a_quantile_is_one_of_the_latencies() -> None:
    assert quantile_ms([0.001, 0.002, 0.003, 0.1], 0.5) == 3.0
    assert quantile_ms([0.001, 0.002, 0.003, 0.1], 0.99) == 100.0
    assert quantile_ms([], 0.5) == 0.0
