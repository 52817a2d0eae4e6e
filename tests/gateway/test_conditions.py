"""`If-Match` and `If-None-Match` on commands, the tags that answers carry, and how many may wait."""

import asyncio
from typing import Any

import httpx
import msgspec
import pytest

from common.bus.api import stored_headers, stored_message
from common.codec import CommandCodec
from common.recorded import COMMAND_ID_HEADER, EXPECTED_VERSION_HEADER, VERSION, VERSION_HEADER
from contexts.order.commands import PlaceOrder
from gateway.http import headers_of
from tests.gateway.doors import ORDER, Doors, deciding, fresh_doors, receipt
from tests.gateway.test_waiting import pushing
from tests.servers import until

BODY = msgspec.json.encode(ORDER)


async def place(doors: Doors, order: str = "o1", **headers: str) -> Any:
    return await doors.place(f"/orders/{order}", **headers)


async def expected(doors: Doors) -> str | None:
    """What the last stored command expects."""
    message = await stored_message(doors.nc, "COMMANDS", seq=await doors.stored())
    return stored_headers(message or {}).get(EXPECTED_VERSION_HEADER)


async def test_the_version_that_is_expected_travels_with_the_command(doors: Doors) -> None:
    for given, version in (({"if_match": '"3"'}, "3"), ({"if_match": '"0"'}, "0"), ({"if_none_match": "*"}, "0")):
        assert (await place(doors, **given)).status_code == 202
        assert await expected(doors) == version
    await place(doors)
    assert await expected(doors) is None


@pytest.mark.parametrize(
    ("headers", "field"),
    [
        ({"if_match": given}, "If-Match")
        for given in ("3", '"3', "*", '"*"', 'W/"3"', '"3", "4"', '"-1"', '"03"', '"3.0"', '"x"', "", f'"{"9" * 19}"')
    ]
    + [({"if_none_match": given}, "If-None-Match") for given in ('"3"', "**", "*, *", 'W/"3"', "")]
    + [({"if_none_match": "*", "if_match": '"0"'}, "If-None-Match")],
)
async def test_a_condition_that_cannot_be_kept_is_400_and_named(
    doors: Doors, headers: dict[str, str], field: str
) -> None:
    before = await doors.stored()
    problem = (await place(doors, **headers)).json()
    assert (problem["status"], problem["code"], problem["field"]) == (400, "malformed", field)
    assert problem["rule"].startswith("must")
    assert await doors.stored() == before


async def test_a_condition_that_is_given_twice_is_a_list(doors: Doors) -> None:
    pairs = [("If-Match", '"1"'), ("If-Match", '"2"')]
    answer = await doors.http.post("/orders/o1", json=ORDER, headers=pairs)
    assert (answer.status_code, answer.json()["field"]) == (400, "If-Match")


def test_a_repeated_header_is_one_list() -> None:
    assert headers_of([(b"a", b"1"), (b"b", b"2"), (b"a", b"3")]) == {b"a": b"1, 3", b"b": b"2"}


async def test_the_same_id_with_another_condition_is_another_command(doors: Doors) -> None:
    assert (await place(doors, idempotency_key="cond", if_match='"1"')).status_code == 202
    before = await doors.stored()
    assert (await place(doors, idempotency_key="cond", if_match='"1"')).status_code == 202
    for other in ({"if_match": '"2"'}, {"if_none_match": "*"}, {}):
        assert (await place(doors, idempotency_key="cond", **other)).status_code == 422
    assert await doors.stored() == before


async def test_the_brokers_duplicate_is_the_same_command_only_under_the_same_condition(doors: Doors) -> None:
    headers = {"Nats-Msg-Id": "storefront:order:cond2", VERSION_HEADER: VERSION, COMMAND_ID_HEADER: "cond2"}
    subject = "command.storefront.order.o9.PlaceOrder"
    await doors.nc.jetstream().publish(subject, BODY, headers=headers | {EXPECTED_VERSION_HEADER: "4"})
    before = await doors.stored()
    for other in ({"if_match": '"5"'}, {}):
        assert (await place(doors, "o9", idempotency_key="cond2", **other)).status_code == 422
    assert (await place(doors, "o9", idempotency_key="cond2", if_match='"4"')).status_code == 202
    assert await doors.stored() == before


async def test_a_receipt_is_known_again_only_under_the_same_condition(doors: Doors) -> None:
    codec = CommandCodec(PlaceOrder)
    kept = receipt("cond3", key="o1", hash=codec.hash(codec.decode("o1", BODY), 7), version=8)
    async with deciding(doors.nc, {"cond3": kept}):
        same = await place(doors, idempotency_key="cond3", if_match='"7"', prefer="wait=5")
        other = await place(doors, idempotency_key="cond3", prefer="wait=5")
    assert (same.status_code, same.headers["etag"], other.status_code) == (200, '"8"', 422)


async def test_a_version_that_is_not_the_present_one_is_412_with_the_present_one(doors: Doors) -> None:
    codec = CommandCodec(PlaceOrder)
    fields: dict[str, Any] = {
        "state": "rejected", "code": "version-mismatch", "message": "expected version 3, but o1 is at version 5",
        "detail": {"version": 5}, "version": 5, "hash": codec.hash(codec.decode("o1", BODY), 3),
    }  # fmt: skip
    with pushing(doors, **fields):
        answer = await place(doors, if_match='"3"', prefer="wait=10")
    problem = answer.json()
    assert (answer.status_code, problem["status"], problem["code"]) == (412, 412, "version-mismatch")
    assert (problem["rule"], answer.headers["etag"]) == ({"version": 5}, '"5"')
    assert "version 5" in problem["detail"]


async def test_what_is_accepted_carries_the_version_it_led_to(doors: Doors) -> None:
    with pushing(doors, version=1, position=7):
        answer = await place(doors, prefer="wait=10")
    assert (answer.status_code, answer.headers["etag"]) == (200, '"1"')


async def test_every_answer_names_what_the_next_query_may_wait_for(doors: Doors) -> None:
    with pushing(doors, version=1):
        decided = await place(doors, prefer="wait=10")
    first = await place(doors, idempotency_key="token")
    again = await place(doors, idempotency_key="token")
    late = await place(doors, prefer="wait=1")
    for answer in (decided, first, again, late):
        assert answer.headers["daybook-after"] == f"order:{answer.json()['command_id']}"
    assert first.content == again.content


async def test_more_than_may_wait_are_503_and_send_nothing(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.app.MOST_WAITING", 8)  # Of which one principal may have a quarter.
    async with fresh_doors(tmp_path_factory) as (_, small):
        waiting = [asyncio.create_task(place(small, f"w{n}", prefer="wait=3")) for n in range(2)]

        async def both_sent() -> bool:
            return await small.stored() == 2

        await until(both_sent)
        answer = await place(small, "w3", prefer="wait=3")
        assert (answer.status_code, answer.json()["code"]) == (503, "too-many-waiting")
        assert answer.headers["retry-after"]
        assert await small.stored() == 2
        assert (await place(small, "w4")).status_code == 202
        assert {(await each).status_code for each in waiting} == {202}
        assert (await place(small, "w5", prefer="wait=1")).status_code == 202


async def test_who_hangs_up_waits_no_longer(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.app.MOST_WAITING", 4)
    async with fresh_doors(tmp_path_factory) as (_, small):
        with pytest.raises(httpx.ReadTimeout):
            await small.http.post("/orders", json=ORDER, headers={"Prefer": "wait=30"}, timeout=0.5)

        async def there_is_room_again() -> bool:
            return bool((await place(small, "w2", prefer="wait=1")).status_code == 202)

        await until(there_is_room_again, 5)
