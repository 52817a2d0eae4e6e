"""Requests over HTTP, a connection for each lane."""

import asyncio
from urllib.parse import quote

import msgspec

from tests.load.driving.mix import CANCEL, Material, Orders
from tests.load.driving.tally import NOTHING, Outcome
from tests.load.wire import Line, Reply, get_request, open_line

AGAIN_S = 0.2
WISH = "Daybook-After: {}\r\nPrefer: wait=10\r\n"


class Prepared:
    """Requests made beforehand, whole or all but an order's id."""

    def __init__(self, key: str, material: Material) -> None:
        self.key = key
        self.place = [self._tail("", body) for body in material.bodies]
        self.cancel = self._tail("/cancel", CANCEL)
        self.get = get_request("", key)[len("GET ") :]
        self.lists = [get_request(f"/orders?customer={quote(each)}", key) for each in material.customers]
        self.searches = [get_request(f"/products?q={quote(word)}", key) for word in material.words]

    def _tail(self, path: str, body: bytes) -> bytes:
        return (
            f"{path} HTTP/1.1\r\nHost: daybook\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        ).encode() + body


class HttpLane:
    """One connection; opened anew when it breaks."""

    def __init__(self, host: str, port: int, prepared: Prepared, orders: Orders) -> None:
        self._host, self._port, self._prepared, self._orders = host, port, prepared, orders
        self._line: Line | None = None
        self._number = 0

    async def ask(self, kind: str) -> Outcome:
        """Sends one request and waits for its answer. Never raises for what the server does."""
        order, number = self._orders.new() if kind == "place" else ("", 0)
        try:
            self._line = self._line or await open_line(self._host, self._port)
            reply = await self._line.ask(self._request(kind, order, number))
        except OSError as error:
            self._line = None
            await asyncio.sleep(AGAIN_S)  # Nobody listens, or the connection broke: not again at once.
            return Outcome(kind, NOTHING, type(error).__name__, str(error))
        if kind == "place" and reply.status == 202:
            self._orders.accepted(order, reply.header("Daybook-After"))
        return Outcome(kind, reply.status) if reply.status < 300 else failed(kind, reply)

    def _request(self, kind: str, order: str, number: int) -> bytes:
        prepared = self._prepared
        if kind == "place":
            return b"POST /orders/" + order.encode() + prepared.place[number]
        if kind == "cancel":
            return b"POST /orders/" + self._orders.to_cancel().encode() + prepared.cancel
        if kind == "get":
            return b"GET /orders/" + self._orders.some().encode() + prepared.get
        if kind == "own":
            order, token = self._orders.last()
            return get_request(f"/orders/{order}", prepared.key, WISH.format(token))
        self._number += 1
        ready = prepared.lists if kind == "list" else prepared.searches
        return ready[self._number % len(ready)]

    def close(self) -> None:
        if self._line:
            self._line.close()


def failed(kind: str, reply: Reply) -> Outcome:
    """The reason is the `code` of the problem that came back, if one did."""
    text = reply.body.decode(errors="replace")
    try:
        code = msgspec.json.decode(reply.body).get("code", "")
    except (msgspec.DecodeError, AttributeError):
        code = ""
    return Outcome(kind, reply.status, str(code), text[:300])
