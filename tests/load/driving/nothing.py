"""A server that takes every request and does nothing: what a load reaches there is what the client itself can do.

python -m tests.load.driving.nothing     # prints its port and serves until its input ends
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import perf_counter

import uvloop

from common.config import PROJECT
from tests.load.driving.mix import Material, Orders
from tests.load.driving.run import Opened, Plan, all_lanes
from tests.load.driving.tally import Tally
from tests.load.driving.target import Target
from tests.load.wire import LENGTH

SECONDS = 2.0
ANSWERS = {
    b"POST": b"HTTP/1.1 202 Accepted\r\nContent-Length: 2\r\n\r\n{}",
    b"GET ": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
}


class Nothing(asyncio.Protocol):
    """One connection, with one request at a time."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a TCP connection
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        end = data.find(b"\r\n\r\n")
        length = LENGTH.search(data, 0, end + 2) if end > 0 else None
        if end < 0 or len(data) < end + 4 + (int(length[1]) if length else 0):
            self._buffer = data
            return
        self._buffer = b""
        self._transport.write(ANSWERS[data[:4]])


async def reach(opened: Opened, material: Material, plan: Plan) -> float:
    """Requests a second of this mix over as many lanes, one after the other, against nothing at all."""
    orders, tally = Orders("nothing", material.bodies), Tally()
    plan = Plan(plan.mix, SECONDS, None, None, plan.lanes)
    async with serving() as target, opened(target, material, orders, plan.lanes) as lanes:
        begun = perf_counter()
        await all_lanes(lanes, plan.schedule(), plan, orders, tally, asyncio.Event())
        return round((tally.answered - tally.failed) / (perf_counter() - begun), 1)


@asynccontextmanager
async def serving() -> AsyncIterator[Target]:
    """The server as a process of its own, as a system would be."""
    pipe = asyncio.subprocess.PIPE
    words = (sys.executable, "-m", __name__)
    process = await asyncio.create_subprocess_exec(*words, cwd=PROJECT, stdin=pipe, stdout=pipe, start_new_session=True)
    assert process.stdout
    try:
        port = int(await process.stdout.readline())
        yield Target("127.0.0.1", port, "none", "", "", "nothing")
    finally:
        await process.communicate(b"")  # It ends with its input.


async def serve() -> None:
    loop = asyncio.get_running_loop()
    server = await loop.create_server(Nothing, "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)
    await loop.run_in_executor(None, sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
