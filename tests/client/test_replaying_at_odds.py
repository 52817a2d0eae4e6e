"""A replay of which an order was not served says so, and does not take down the system that it was played on."""

import asyncio
from pathlib import Path

import msgspec
from msgspec.structs import replace

from common.client import connect
from gateway.cli.baskets import Baskets
from gateway.cli.sending import PRINCIPAL
from projectors.orders import GetOrder
from tests.servers import System, running_system, until
from tests.short_year import short_year
from tests.test_up import daybook

OF_A_YEAR = 10


async def somebody_unknown_orders_the_first_basket(system: System) -> str:
    """Places it for a customer whom nobody has registered, so that it is cancelled; its id."""
    with Baskets(1) as year:
        (basket,) = year
    settings, order = system.settings, replace(basket.order, customer_id="nobody")
    async with connect(settings.nats_url, PRINCIPAL, settings.password(PRINCIPAL)) as client:
        after = await client.send(order)
        answer = await client.ask(GetOrder(order.order_id), 30, after=after, until=["cancelled"])
    assert (answer["state"], answer["cancel_cause"]) == ("cancelled", "customer-refused")
    return order.order_id


async def test_an_order_that_was_not_served_is_a_difference_and_the_system_stays_up(data: Path, tmp_path: Path) -> None:
    year = short_year(tmp_path, OF_A_YEAR)
    async with running_system(data) as system:
        order = await somebody_unknown_orders_the_first_basket(system)
        said = f"served of order {order} (cancelled: customer-refused): 1 in the file, 0 in the views"
        port = str(system.settings.http_port)
        code, output, errors = await daybook(
            data, "replay", "--baskets", "3", "--json", PYTHONPATH=year, DAYBOOK_HTTP_PORT=port
        )
        found = msgspec.json.decode(output)["found"]
        assert (code, len(found["differences"]), found["moving"]) == (1, 1, False)
        assert said in errors
    async with running_system(data, options=("--play", "3"), PYTHONPATH=year) as system:
        shown = system.output

        async def is_played() -> bool:
            return "Up until Ctrl-C" in await asyncio.to_thread(shown.read_text)

        await until(is_played, within=60, what="the baskets to be played")
        assert said in shown.read_text() and await system.ready()
