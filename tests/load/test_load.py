"""The closed loop sends as it says, and counts right."""

import asyncio

import pytest

from tests.load.closed_loop import closed_loop
from tests.load.measure import quantile_ms


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


def test_a_quantile_is_one_of_the_latencies() -> None:
    assert quantile_ms([0.001, 0.002, 0.003, 0.1], 0.5) == 3.0
    assert quantile_ms([0.001, 0.002, 0.003, 0.1], 0.99) == 100.0
    assert quantile_ms([], 0.5) == 0.0
