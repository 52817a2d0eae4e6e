"""An e-mail belongs to one account, whoever is first, on real servers."""

import asyncio
from collections import Counter
from uuid import uuid4

from common.client import connect
from contexts.customer.commands import RegisterCustomer
from tests.customer.conftest import Door
from tests.servers import System, until

BUYERS = 100


def email() -> str:
    return f"ada.{uuid4().hex}@example.org"


async def test_of_a_hundred_simultaneous_registrations_by_http_one_is_accepted(storefront: Door) -> None:
    wanted, group = email(), uuid4().hex
    answers = await asyncio.gather(
        *(storefront.post(f"/customers/{group}-{n}", name=f"Buyer {n}", email=wanted) for n in range(BUYERS))
    )
    told = Counter((answer.status_code, answer.json().get("code", "")) for answer in answers)
    assert told == {(200, ""): 1, (409, "customer.email-taken"): BUYERS - 1}


async def test_of_a_hundred_simultaneous_registrations_by_nats_one_is_accepted(system: System) -> None:
    """However each of them writes it."""
    wanted, group = email(), uuid4().hex
    commands = [
        RegisterCustomer(f"{group}-{n}", f"Buyer {n}", wanted.upper() if n % 2 else wanted) for n in range(BUYERS)
    ]
    async with connect(system.settings.nats_url, "storefront", system.settings.password("storefront")) as client:
        sent = await asyncio.gather(*(client.send(command) for command in commands))
        receipts = await asyncio.gather(*(client.wait(each, 30) for each in sent))
    told = Counter((receipt.state, receipt.code) for receipt in receipts)
    assert told == {("accepted", ""): 1, ("rejected", "customer.email-taken"): BUYERS - 1}


async def test_capitals_do_not_make_it_another_one(storefront: Door) -> None:
    wanted, group = email(), uuid4().hex
    await storefront.accepted(f"/customers/{group}-1", name="Ada", email=wanted)
    assert await storefront.refused(f"/customers/{group}-2", name="Ben", email=wanted.upper()) == "customer.email-taken"


async def test_a_closed_account_and_one_that_changed_leave_theirs_to_others(storefront: Door) -> None:
    first, second, group = email(), email(), uuid4().hex
    ada, ben, cleo = (f"/customers/{group}-{n}" for n in range(3))
    await storefront.accepted(ada, name="Ada", email=first)
    await storefront.accepted(f"{ada}/contact", name="Ada", email=second)
    await storefront.accepted(ben, name="Ben", email=first)
    assert await storefront.refused(f"{ben}/contact", name="Ben", email=second) == "customer.email-taken"
    await storefront.accepted(f"{ada}/close")
    await storefront.accepted(cleo, name="Cleo", email=second)


async def test_one_that_is_suspended_keeps_its_own(storefront: Door, operator: Door) -> None:
    wanted, group = email(), uuid4().hex
    await storefront.accepted(f"/customers/{group}-1", name="Ada", email=wanted)
    await operator.accepted(f"/customers/{group}-1/suspend", reason="chargebacks")
    assert await storefront.refused(f"/customers/{group}-2", name="Ben", email=wanted) == "customer.email-taken"


async def test_a_customer_can_be_asked_for_and_her_data_only_by_who_may_read_them(
    storefront: Door, operator: Door
) -> None:
    path = f"/customers/{uuid4().hex}"
    await storefront.accepted(path, name="Ada Miller", email=(wanted := email()))
    await operator.accepted(f"{path}/suspend", reason="chargebacks")

    async def visible() -> bool:
        return (await storefront.http.get(path)).status_code == 200 and (await storefront.get(path))["version"] == 2

    await until(visible)
    shown = await operator.get(path)
    assert (shown["state"], wanted in str(shown)) == ("suspended", False)
    contact = (await operator.get(f"{path}?as_of=now"))["state"]["contact"]
    assert contact == {"name": "Ada Miller", "email": wanted, "phone": None}
    sealed = (await storefront.get(f"{path}?as_of=now"))["state"]["contact"]
    assert set(sealed) == {"person", "sealed"}
