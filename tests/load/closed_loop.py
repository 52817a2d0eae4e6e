"""A closed loop of HTTP requests: each connection sends its next request when it has the answer to the last.

Requests are bytes made beforehand and answers are only counted: the client shares the machine with what it measures.
"""

import asyncio
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import cycle
from time import perf_counter

from msgspec import Struct

LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)", re.IGNORECASE)
LAST_ANSWER_S = 30.0


class Run(Struct):
    """What came back: answers by HTTP status, and how long each took, in seconds, ascending."""

    seconds: float
    statuses: dict[int, int]
    latencies: list[float]

    @property
    def accepted(self) -> int:
        return sum(number for status, number in self.statuses.items() if status < 300)

    @property
    def refused(self) -> int:
        return sum(self.statuses.values()) - self.accepted


class Lane(asyncio.Protocol):
    """One connection of the loop."""

    def __init__(self, requests: Iterator[bytes], until: float) -> None:
        self._requests, self._until = requests, until
        self._buffer, self._sent = b"", 0.0
        self.ended: asyncio.Future[float] = asyncio.get_running_loop().create_future()
        self.statuses: Counter[int] = Counter()
        self.latencies: list[float] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport: asyncio.Transport = transport  # type: ignore[assignment]  # of a TCP connection

    def start(self) -> None:
        self._sent = perf_counter()
        self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        data = self._buffer + data
        head = data.find(b"\r\n\r\n")
        length = LENGTH.search(data, 0, head) if head > 0 else None
        if length is None or len(data) < head + 4 + int(length[1]):
            self._buffer = data
            return
        now = perf_counter()
        self._buffer = b""
        self.statuses[int(data[9:12])] += 1
        self.latencies.append(now - self._sent)
        if now < self._until:
            self._sent = now
            self._transport.write(next(self._requests))
        else:
            self._transport.close()
            self.ended.set_result(now)

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.ended.done():
            self.ended.set_exception(exc or ConnectionError("the server has closed the connection"))


async def closed_loop(port: int, requests: Sequence[bytes], connections: int, seconds: float) -> Run:
    """Sends over so many connections to this machine for so many seconds, and waits for the last answers.

    Raises `OSError` when a connection breaks, `TimeoutError` when an answer does not come.
    """
    loop, endless = asyncio.get_running_loop(), cycle(requests)
    begun = perf_counter()
    lanes = [Lane(endless, begun + seconds) for _ in range(connections)]
    for lane in lanes:
        await loop.create_connection(lambda lane=lane: lane, "127.0.0.1", port)  # type: ignore[misc]  # a bound name
    for lane in lanes:
        lane.start()
    async with asyncio.timeout(seconds + LAST_ANSWER_S):
        ended = await asyncio.gather(*(lane.ended for lane in lanes))
    statuses = sum((lane.statuses for lane in lanes), Counter[int]())
    return Run(max(ended) - begun, dict(statuses), sorted(latency for lane in lanes for latency in lane.latencies))


def post_request(path: str, key: str, body: bytes) -> bytes:
    """A whole POST of JSON."""
    return (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
