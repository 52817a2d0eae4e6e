"""The client in another language names what there is: it is run by `make clients`, which takes more than Python."""

import re

import msgspec

from contexts.order.commands import PlaceOrder
from projectors.order_status import BUCKET, MODEL, OrderStatus
from projectors.orders import GetOrder
from tests.clients.installed import PACKAGES, PROGRAM

SOURCE = PROGRAM.read_text()


def test_it_says_the_words_of_the_system() -> None:
    assert f".{PlaceOrder.__name__}`" in SOURCE
    assert f".{GetOrder.__name__}`" in SOURCE
    assert f"open('{MODEL.name}')" in SOURCE
    assert BUCKET.stream == f"KV_{MODEL.name}"
    assert "entry.json().state" in SOURCE
    assert "state" in OrderStatus.__struct_fields__


def test_each_package_it_uses_is_pinned() -> None:
    pinned = msgspec.json.decode(PACKAGES.read_bytes())["dependencies"]
    assert set(re.findall(r"from '(@[^']+)'", SOURCE)) <= set(pinned)
    assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
