"""One command for each id (protocol P5)."""

import asyncio

import msgspec

from common.recorded import COMMAND_ID_HEADER, VERSION, VERSION_HEADER, derived_id
from contexts.product.commands import AddProduct
from tests.gateway.doors import ORDER, Doors, deciding, hash_of, receipt

OTHER = ORDER | {"site": "375"}


async def test_the_same_key_a_hundred_times_in_parallel_is_one_command_and_one_answer(doors: Doors) -> None:
    before = await doors.stored()
    answers = await asyncio.gather(*(doors.place(idempotency_key="hundred") for _ in range(100)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.content for answer in answers}) == 1
    assert await doors.stored() == before + 1


async def test_the_key_is_the_command_id_and_gives_the_order_its_id(doors: Doors) -> None:
    answer = await doors.place(idempotency_key="named")
    key = derived_id("storefront", "named")
    assert answer.json() == {
        "command_id": "named", "context": "order", "key": key, "state": "undecided", "receipt": "/commands/order/named",
    }  # fmt: skip
    assert answer.headers["location"] == "/commands/order/named"
    subject, body = await doors.message(await doors.stored())
    assert subject.split(".")[3:] == ["storefront", key, "PlaceOrder"]
    assert msgspec.json.decode(body) == ORDER


async def test_without_a_key_each_request_is_a_command_of_its_own(doors: Doors) -> None:
    before = await doors.stored()
    one, two = await doors.place(), await doors.place()
    assert one.json()["key"] != two.json()["key"]
    assert await doors.stored() == before + 2


async def test_another_body_under_the_same_key_is_422_and_is_not_stored(doors: Doors) -> None:
    await doors.place(idempotency_key="body")
    before = await doors.stored()
    answer = await doors.place(body=OTHER, idempotency_key="body")
    assert (answer.status_code, answer.json()["code"]) == (422, "command-id-used")
    assert await doors.stored() == before


async def test_another_command_under_the_same_key_is_422(doors: Doors) -> None:
    await doors.place("/orders/o7", idempotency_key="kinds")
    answer = await doors.place("/orders/o7/cancel", {"reason": "x"}, idempotency_key="kinds")
    assert answer.status_code == 422


async def test_the_same_body_written_otherwise_is_the_same_command(doors: Doors) -> None:
    first = await doors.place(idempotency_key="spelling")
    reordered = dict(reversed(ORDER.items()))
    assert (await doors.place(body=reordered, idempotency_key="spelling")).content == first.content


async def test_the_same_id_in_two_contexts_is_two_commands(doors: Doors) -> None:
    before = await doors.stored()
    await doors.place(idempotency_key="both")
    operator = {"x_api_key": doors.settings.api_key("operator"), "idempotency_key": "both"}
    assert (await doors.place("/products", AddProduct.declared.example, **operator)).status_code == 202
    assert await doors.stored() == before + 2


async def test_a_command_with_a_receipt_is_not_published_again(doors: Doors) -> None:
    stored = receipt("old", key="o1", hash=hash_of(ORDER, "o1"))
    before = await doors.stored()
    async with deciding(doors.nc, {"old": stored}):
        same = await doors.place("/orders/o1", idempotency_key="old")
        waited = await doors.place("/orders/o1", idempotency_key="old", prefer="wait=5")
        other = await doors.place("/orders/o1", OTHER, idempotency_key="old2")
    assert (same.status_code, waited.status_code, other.status_code) == (202, 200, 202)
    assert await doors.stored() == before + 1


async def test_a_receipt_of_another_body_is_422(doors: Doors) -> None:
    async with deciding(doors.nc, {"taken": receipt("taken", key="o1", hash=hash_of(ORDER, "o1"))}):
        answer = await doors.place("/orders/o1", OTHER, idempotency_key="taken")
    assert answer.status_code == 422


async def test_many_askers_share_few_questions(doors: Doors) -> None:
    async with deciding(doors.nc, {}) as asked:
        await asyncio.gather(*(doors.place(idempotency_key=f"many-{n}") for n in range(64)))
    assert sum(map(len, asked)) == 64
    assert len(asked) < 32


async def test_a_context_that_is_silent_stops_nobody(doors: Doors) -> None:
    silent = await doors.nc.subscribe("query.*.OrderReceipts")
    await doors.nc.flush()
    began = asyncio.get_running_loop().time()
    answers = await asyncio.gather(*(doors.place(idempotency_key=f"silence-{n}") for n in range(8)))
    again = await doors.place(idempotency_key="still-silent")
    assert {answer.status_code for answer in [*answers, again]} == {202}
    assert asyncio.get_running_loop().time() - began < 2
    await silent.unsubscribe()


async def poison(doors: Doors, subject: str, name: str, body: bytes, command_id: str | None = None) -> None:
    """Publishes with the message id that the gateway would give the storefront's command of this name."""
    headers = {"Nats-Msg-Id": f"storefront:order:{name}", VERSION_HEADER: VERSION}
    await doors.nc.jetstream().publish(subject, body, headers=headers | {COMMAND_ID_HEADER: command_id or name})


BODY = msgspec.json.encode(ORDER)


async def test_a_message_id_that_another_principal_has_used_takes_nothing_from_us(doors: Doors) -> None:
    await poison(doors, "command.mallory.order.o2.PlaceOrder", "victim", BODY)
    before = await doors.stored()
    assert (await doors.place("/orders/o2", idempotency_key="victim")).status_code == 202
    assert await doors.stored() == before + 1
    subject, _ = await doors.message(before + 1)
    assert subject.endswith(".storefront.o2.PlaceOrder")


async def test_a_message_id_on_a_message_of_another_command_id_takes_nothing_from_us(doors: Doors) -> None:
    await poison(doors, "command.storefront.order.o2.PlaceOrder", "mine", BODY, command_id="different")
    before = await doors.stored()
    assert (await doors.place("/orders/o2", idempotency_key="mine")).status_code == 202
    assert await doors.stored() == before + 1


async def test_a_duplicate_of_the_same_command_is_its_answer(doors: Doors) -> None:
    await poison(doors, "command.storefront.order.o3.PlaceOrder", "again", b" " + BODY)
    before = await doors.stored()
    assert (await doors.place("/orders/o3", idempotency_key="again")).status_code == 202
    assert await doors.stored() == before


async def test_a_duplicate_with_another_body_key_or_type_is_422(doors: Doors) -> None:
    await poison(doors, "command.storefront.order.o4.PlaceOrder", "b1", msgspec.json.encode(OTHER))
    await poison(doors, "command.storefront.order.o5.PlaceOrder", "b2", BODY)
    await poison(doors, "command.storefront.order.o4.CancelOrder", "b3", BODY)
    await poison(doors, "command.storefront.order.o4.PlaceOrder", "b4", b"garbage")
    for name in ("b1", "b2", "b3", "b4"):
        assert (await doors.place("/orders/o4", idempotency_key=name)).status_code == 422


async def test_a_duplicate_whose_message_is_gone_is_published_again(doors: Doors) -> None:
    await poison(doors, "command.storefront.order.o6.PlaceOrder", "gone", BODY)
    sequence = await doors.stored()
    await doors.nc.jetstream().delete_msg("COMMANDS", sequence)
    assert (await doors.place("/orders/o6", idempotency_key="gone")).status_code == 202
    assert await doors.stored() == sequence + 1
