"""A client in another language, with nothing but the NATS library of that language, on a whole system.

`make clients` runs it: it needs packages of another kind than the other tests, which run with those of Python alone.
"""

import asyncio
from collections.abc import Mapping
from typing import Any

import httpx
import msgspec

from common import config
from contexts.order.commands import PlaceOrder
from tests.clients.installed import client
from tests.servers import System

TEA = {"sku": "tea", "name": "Green tea", "department": "GROCERY", "price": 450, "currency": "USD"}
ORDER = PlaceOrder.declared.example | {
    "customer_id": "ada", "site": "shop-1", "payment_method": "pm_ok", "currency": "USD",
    "lines": [{"sku": "tea", "quantity": 2}],
}  # fmt: skip


async def post(system: System, principal: str, path: str, body: Mapping[str, Any]) -> None:
    headers = {"X-API-Key": system.settings.api_key(principal), "Prefer": "wait=30"}
    async with httpx.AsyncClient(base_url=system.url, headers=headers, timeout=40, trust_env=False) as http:
        answer = await http.post(path, json=body)
    assert answer.status_code == 200, answer.text


async def placed_by_node(system: System, order_id: str) -> list[dict[str, Any]]:
    """What the program says, a line each, once it has come to its end."""
    settings = system.settings
    arguments = settings.nats_url, "storefront", settings.password("storefront"), order_id
    process = await asyncio.create_subprocess_exec(
        *(*await asyncio.to_thread(client), *arguments, msgspec.json.encode(ORDER).decode()),
        cwd=config.PROJECT,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    async with asyncio.timeout(60):
        said, errors = await process.communicate()
    assert (process.returncode, errors) == (0, b""), errors.decode()
    return [msgspec.json.decode(line) for line in said.splitlines()]


async def test_node_sends_a_command_reads_its_receipt_asks_a_query_and_watches_the_order(system: System) -> None:
    await post(system, "operator", "/products", TEA)
    await post(system, "warehouse", "/stock/shop-1/receive", {"lines": [{"sku": "tea", "quantity": 40}]})
    await post(system, "storefront", "/customers/ada", {"name": "Ada Miller", "email": "ada@example.org"})
    stored, receipt, asked, *watched, got = await placed_by_node(system, "ada-1")
    assert stored["stored"]["stream"] == "COMMANDS"
    assert (receipt["receipt"]["state"], receipt["receipt"]["command_id"]) == ("accepted", "ada-1")
    assert (asked["status"], asked["order"]["order_id"]) == ("200", "ada-1")
    assert asked["position"].startswith("order=")
    versions = [each["watched"]["version"] for each in watched]
    assert versions == sorted(versions)
    assert watched[-1]["watched"]["state"] == "confirmed"
    assert got["got"]["version"] >= watched[-1]["watched"]["version"]
