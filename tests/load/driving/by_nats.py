"""Requests over NATS with the client, all lanes on one connection."""

from common.bus.denials import NotPermitted
from common.bus.outgoing import OutcomeUnknown, Refused, StreamFull, TooLarge
from common.client import Client
from common.questions import NoAnswer, QueryRefused
from projectors.orders import GetOrder, ListOrders
from projectors.products import ListProducts
from tests.load.driving.mix import CANCEL, Material, Orders
from tests.load.driving.tally import NOTHING, Outcome

TROUBLE = (OSError, StreamFull, OutcomeUnknown, TooLarge, Refused, NoAnswer, NotPermitted)
OWN_S = 10.0


class NatsLane:
    """One of those that share a client."""

    def __init__(self, client: Client, material: Material, orders: Orders) -> None:
        self._client, self._material, self._orders = client, material, orders
        self._number = 0

    async def ask(self, kind: str) -> Outcome:
        """Sends one request and waits for its answer. Never raises for what the server does."""
        try:
            return Outcome(kind, await (self._command(kind) if kind in ("place", "cancel") else self._query(kind)))
        except QueryRefused as refused:
            return Outcome(kind, refused.status, str(refused.problem.get("code", "")), str(refused))
        except TROUBLE as error:
            return Outcome(kind, NOTHING, type(error).__name__, str(error))

    async def _command(self, kind: str) -> int:
        if kind == "cancel":
            await self._client.send_named("order", "CancelOrder", self._orders.to_cancel(), CANCEL)
            return 202
        order, number = self._orders.new()
        sent = await self._client.send_named("order", "PlaceOrder", order, self._material.bodies[number])
        self._orders.accepted(order, f"{sent.context}:{sent.command_id}")
        return 202

    async def _query(self, kind: str) -> int:
        self._number += 1
        if kind == "get":
            await self._client.ask(GetOrder(self._orders.some()))
        elif kind == "own":
            order, token = self._orders.last()
            await self._client.ask(GetOrder(order), OWN_S, after=token)
        elif kind == "list":
            customers = self._material.customers
            await self._client.ask(ListOrders(customer=customers[self._number % len(customers)]))
        else:
            await self._client.ask(ListProducts(q=self._material.words[self._number % len(self._material.words)]))
        return 200

    def close(self) -> None:
        """The connection belongs to all."""
