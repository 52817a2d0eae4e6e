"""The simulated warehouse and couriers, on a whole system: all that is ordered arrives or comes back."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from itertools import count
from pathlib import Path

import msgspec
import psutil
import pytest
import pytest_asyncio

from common.client import Client, connect
from common.recorded import Receipt
from contexts.customer.commands import RegisterCustomer
from contexts.order.commands import PlaceOrder, RequestedLine
from contexts.stock.commands import Goods, ReceiveStock
from gateway.cli.baskets import NOBODY
from gateway.cli.rounds import Tally, courier
from projectors.deliveries import DeliveryView, GetDelivery
from projectors.orders import GetOrder
from tests.servers import System, environment, until
from tests.test_up import daybook, one_line

numbers = count(1)
AT_ONCE = ("--dispatch-after", "0", "--deliver-after", "0", "--json")


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shop(system: System) -> AsyncIterator[Client]:
    """May do all that the replay may, and has a customer and a shelf full of bread."""
    async with connect(system.settings.nats_url, "replay", system.settings.password("replay")) as client:
        await client.send(RegisterCustomer("ada", "Ada Miller", "ada@example.org"))
        await client.send(ReceiveStock("springfield", (Goods("bread", 1_000),)))
        yield client


async def ordered(shop: Client, number: int) -> list[str]:
    """So many new orders of a loaf for 250, each scheduled for delivery."""
    names = [f"o{next(numbers)}" for _ in range(number)]
    line = RequestedLine("bread", 1, amount=250, department="BAKERY")
    orders = [PlaceOrder(name, "ada", "springfield", NOBODY, "pm_ok", "USD", (line,)) for name in names]
    await shop.send_many(orders)
    await all_are(shop, names, "scheduled")
    return names


async def all_are(shop: Client, names: Iterable[str], *states: str) -> None:
    for name in names:
        await shop.ask(GetDelivery(name), within=60, until=states)


@asynccontextmanager
async def simulating(system: System, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    env = environment(system.settings.data)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "gateway.cli", "simulate", *words), env=env, stdout=asyncio.subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def is_at_work(pid: int) -> bool:
    """Whether it has come as far as the bus; before, while it starts, Ctrl-C is not in order yet."""
    try:
        return bool(psutil.Process(pid).net_connections("tcp"))
    except psutil.Error:
        return False


async def stopped(process: asyncio.subprocess.Process) -> Tally:
    """Ends it as Ctrl-C does; what it says of its work."""
    await until(lambda: process.returncode is not None or is_at_work(process.pid), what="it to be connected")
    if process.returncode is None:
        process.send_signal(signal.SIGINT)
    output, _ = await asyncio.wait_for(process.communicate(), 10)
    assert process.returncode == 0
    return msgspec.json.decode(output, type=Tally)


async def types_of(shop: Client, name: str) -> list[str]:
    return [event["type"] for event in (await shop.ask_named("DeliveryHistory", {"stream": name}))["events"]]


async def test_what_is_scheduled_is_dispatched_and_delivered_and_it_stops_at_the_limit(
    system: System, shop: Client
) -> None:
    names = await ordered(shop, 5)
    async with simulating(system, *AT_ONCE, "--fail", "0", "--limit", "5") as process:
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert msgspec.json.decode(output, type=Tally) == Tally(dispatched=5, delivered=5)
    assert process.returncode == 0
    for name in names:
        assert await types_of(shop, name) == ["DeliveryScheduled", "DeliveryDispatched", "DeliveryConfirmed"]
        order = await shop.ask(GetOrder(name), until=["delivered"])
        assert (order["state"], order["total"]) == ("delivered", 250)


async def test_where_nobody_is_ever_at_home_all_comes_back_and_ctrl_c_ends_it(system: System, shop: Client) -> None:
    names = await ordered(shop, 3)
    async with simulating(system, *AT_ONCE, "--fail", "1") as process:
        await all_are(shop, names, "returned")
        tally = await stopped(process)
    assert tally == Tally(dispatched=3, failed_attempts=9, returned=3)
    for name in names:
        assert (await types_of(shop, name)).count("DeliveryAttemptFailed") == 3
        await shop.ask(GetOrder(name), until=["returned"])

        async def is_paid_back(name: str = name) -> bool:
            return bool((await shop.ask(GetOrder(name)))["refunded"] == 250)

        await until(is_paid_back)


async def test_two_at_once_do_nothing_twice(system: System, shop: Client) -> None:
    names = await ordered(shop, 20)
    async with simulating(system, *AT_ONCE) as one, simulating(system, *AT_ONCE) as other:
        await all_are(shop, names, "delivered", "returned")
        for process in (one, other):
            assert (await stopped(process)).refused == {}
    for name in names:
        types = await types_of(shop, name)
        assert types.count("DeliveryDispatched") == 1
        assert types.count("DeliveryConfirmed") + types.count("DeliveryReturned") == 1


async def test_a_worker_that_dies_meanwhile_delays_and_loses_nothing(system: System, shop: Client) -> None:
    names = await ordered(shop, 20)
    async with simulating(system, *AT_ONCE, "--fail", "0.5") as process:
        await all_are(shop, names[:1], "dispatched", "delivered", "returned")
        await system.kill_and_wait("context-delivery")
        await all_are(shop, names, "delivered", "returned")
        await stopped(process)
    assert {(await types_of(shop, name)).count("DeliveryDispatched") for name in names} == {1}


async def test_it_waits_as_long_as_it_is_told(system: System, shop: Client) -> None:
    names = await ordered(shop, 1)
    async with simulating(system, "--dispatch-after", "0", "--deliver-after", "600", "--json") as process:
        await all_are(shop, names, "dispatched")
        assert await stopped(process) == Tally(dispatched=1)
    async with simulating(system, *AT_ONCE, "--fail", "0") as process:
        await all_are(shop, names, "delivered")
        assert await stopped(process) == Tally(delivered=1)


async def test_without_a_system_or_without_its_principals_it_says_so_in_one_line(system: System, data: Path) -> None:
    code, _, errors = await daybook(data, "simulate")
    assert (code, "`daybook up`" in errors) == (1, True)
    secrets = msgspec.json.decode(system.settings.credentials.read_bytes())
    del secrets["nats"]["courier"]
    old = data.with_name("credentials.json")
    old.write_bytes(msgspec.json.encode(secrets))
    code, _, errors = await daybook(system.settings.data, "simulate", DAYBOOK_CREDENTIALS=str(old))
    assert code == 1
    assert "`daybook key courier --add`" in one_line(errors)


def test_chance_is_the_same_for_the_same_seed_and_meets_as_many_as_it_should() -> None:
    parcels = [msgspec.convert(parcel(f"o{n}", attempt), DeliveryView) for n in range(2_000) for attempt in range(2)]

    def wishes(seed: int) -> list[object]:
        return [courier(0, 0.25, seed).wish(each) for each in parcels]

    assert wishes(1) == wishes(1) != wishes(2)
    in_vain = sum(type(wish).__name__ == "ReportFailedAttempt" for wish in wishes(1))
    assert in_vain / len(parcels) == pytest.approx(0.25, abs=0.03)


def parcel(order_id: str, attempts: int) -> dict[str, object]:
    at = "2026-03-01T12:00:00Z"
    known = {"order_id": order_id, "site": "s1", "state": "dispatched", "attempts": attempts, "asked_at": at}
    return known | {"version": 1, "position": 1}


@pytest.mark.parametrize("state", ["rejected", "parked"])
def test_what_is_not_accepted_is_counted_by_its_code(state: str) -> None:
    tally = Tally()
    receipt = {"context": "delivery", "command_id": "c1", "principal": "courier", "state": state, "code": "some.code"}
    tally.note(msgspec.convert(receipt, Receipt))
    assert (tally.ended, tally.refused) == (0, {"some.code": 1})
    assert tally.counted()["some.code"] == 1
