"""What a load asks for, in which shares, and of which orders."""

from collections import deque
from collections.abc import Iterator, Sequence
from functools import cache
from itertools import count, cycle
from random import Random

import msgspec
from msgspec import Struct

from common.client import body_of
from gateway.cli.baskets import Baskets

BASKETS = 1000
DEFAULT = "place=8,get=4,list=1,search=1,cancel=1"
KINDS = {
    "place": "POST /orders/{id}, a real basket",
    "get": "GET /orders/{id}, any order of this run; a 404 is counted as not visible yet",
    "own": "GET /orders/{id} with Daybook-After, the order that was last accepted",
    "list": "GET /orders?customer=, the last 20 orders of a household",
    "search": "GET /products?q=, products by a word",
    "cancel": "POST /orders/{id}/cancel, an order of this run, once",
}
COMMANDS = ("place", "cancel")
OF_ORDERS = ("get", "own", "cancel")
REASON = "changed my mind"
CANCEL = msgspec.json.encode({"reason": REASON})


def mix_of(text: str) -> dict[str, int]:
    """The shares by kind. Raises `ValueError` with the rule when the text is none."""
    shares: dict[str, int] = {}
    for part in text.split(","):
        kind, _, share = part.strip().partition("=")
        if kind not in KINDS or not share.isdecimal() or kind in shares:
            raise ValueError(f"{part.strip()!r} must be one of {', '.join(KINDS)}, each once, with =<share>")
        shares[kind] = int(share)
    if not any(shares.values()):
        raise ValueError("one share at least must be above 0")
    return {kind: share for kind, share in shares.items() if share}


def in_turn(shares: dict[str, int]) -> Iterator[str]:
    """Kinds without end: each as often as its share says, evenly spread."""
    credit = dict.fromkeys(shares, 0)
    total = sum(shares.values())
    while True:
        for kind, share in shares.items():
            credit[kind] += share
        kind = max(credit, key=credit.__getitem__)
        credit[kind] -= total
        yield kind


class Material(Struct, frozen=True):
    """What requests are made of: bodies of orders, households and departments, all real."""

    bodies: Sequence[bytes]
    customers: Sequence[str]
    words: Sequence[str]


@cache
def material() -> Material:
    """Reads the baskets, once. Raises `FileNotFoundError` when they are not installed."""
    with Baskets(BASKETS) as chosen:
        orders = [basket.order for basket in chosen]
    words = {line.department.split()[0].lower() for order in orders for line in order.lines if line.department}
    return Material([body_of(order) for order in orders], sorted({o.customer_id for o in orders}), sorted(words))


class Orders:
    """The orders of this run: those to place, and those that were accepted."""

    def __init__(self, prefix: str, bodies: Sequence[bytes]) -> None:
        self.prefix, self.placed = prefix, 0
        self._numbers, self._bodies, self._random = count(), cycle(range(len(bodies))), Random(7)
        self._accepted: list[str] = []
        self._whole: deque[str] = deque()
        self._last = ("", "")

    def new(self) -> tuple[str, int]:
        """An id that nobody has, and the number of a body."""
        return f"{self.prefix}-{next(self._numbers)}", next(self._bodies)

    def accepted(self, order: str, token: str) -> None:
        self.placed += 1
        self._accepted.append(order)
        self._whole.append(order)
        self._last = (order, token)

    def last(self) -> tuple[str, str]:
        """The order that was accepted last, and what to hand back in order to see it."""
        return self._last

    def can(self, kind: str) -> bool:
        """Whether there is an order to ask this of."""
        return bool(self._whole if kind == "cancel" else self._accepted)

    def some(self) -> str:
        return self._accepted[int(self._random.random() * len(self._accepted))]

    def to_cancel(self) -> str:
        """The oldest order that is not cancelled yet; raises `IndexError` when there is none."""
        return self._whole.popleft()
