"""What the HTTP door takes and what it refuses: the same verdict as the worker's own door."""

import asyncio
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import httpx
import msgspec
import pytest

from common.codec import MAX_BODY
from common.recorded import COMMAND_ID_HEADER, VERSION, VERSION_HEADER
from common.shell.admission import Admission, Admitted
from contexts.order.commands import CancelOrder, PlaceOrder
from gateway import http as door
from tests.gateway.doors import ORDER, Doors

BODY = msgspec.json.encode(ORDER)
LINE = BODY.index(b'"quantity":2')


class Sent(msgspec.Struct):
    """A message as the command stream would keep it."""

    subject: str
    data: bytes
    headers: dict[str, str]
    sequence: int = 1
    at: datetime = datetime(2026, 1, 1, tzinfo=UTC)


def quantity(text: bytes) -> bytes:
    return BODY.replace(b'"quantity":2', b'"quantity":' + text)


def with_field(name: str, value: Any) -> bytes:
    return msgspec.json.encode(ORDER | {name: value})


REFUSED = {
    "nested 30,000 deep": b'{"lines":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "nested deep in an unknown field": b'{"x":' + b'{"a":' * 9_000 + b"1" + b"}" * 9_000 + b"}",
    "invalid UTF-8": BODY.replace(b"Ada", b"\xff\xfe"),
    "a lone surrogate": BODY.replace(b"Ada", b"\\ud800"),
    "U+0000": BODY.replace(b"Ada", b"A\\u0000a"),
    "U+0000 as it is": BODY.replace(b"Ada", b"A\x00a"),
    "a text for a quantity": quantity(b'"1"'),
    "a fraction for a quantity": quantity(b"1.0"),
    "1e400": quantity(b"1e400"),
    "a negative quantity": quantity(b"-1"),
    "a quantity beyond 64 bits": quantity(b"9" * 40),
    "a quantity beyond its bound": quantity(b"1000001"),
    "true for a quantity": quantity(b"true"),
    "NaN": quantity(b"NaN"),
    "an unknown field": with_field("coupon", "x"),
    "the key in the body": with_field("order_id", "x"),
    "an unknown field inside": BODY.replace(b'"quantity":2', b'"quantity":2,"colour":"red"'),
    "a missing field": msgspec.json.encode({k: v for k, v in ORDER.items() if k != "site"}),
    "an id with a dot": with_field("site", "a.b"),
    "an id with a newline at its end": with_field("site", "a\n"),
    "a time without offset": with_field("at", "2026-01-01T00:00:00"),
    "no line": with_field("lines", []),
    "not an object": b"[]",
    "no JSON": b"{",
    "two values": BODY + b"{}",
    "nothing": b"",
}
TAKEN = {
    "the example": BODY,
    "minus zero": quantity(b"-0"),
    "a repeated name, of which the last counts": b'{"site":"other",' + BODY[1:],
    "white space": b" \n" + BODY + b"\n ",
    "escapes": BODY.replace(b"Ada", b"\\u0041da"),
}


def admitted(body: bytes) -> Admitted:
    """The verdict of the worker's door on the same body."""
    door = Admission("order", (PlaceOrder, CancelOrder), {"storefront": frozenset({"storefront"})})
    headers = {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: "c"}
    verdict = door.admit(Sent("work.order.3.storefront.o1.PlaceOrder", body, headers))
    assert isinstance(verdict, Admitted)
    return verdict


async def post(doors: Doors, body: bytes, **headers: str) -> httpx.Response:
    return await doors.http.post("/orders/o1", content=body, headers={"content-type": "application/json"} | headers)


@pytest.mark.parametrize("body", REFUSED.values(), ids=REFUSED)
async def test_what_the_worker_refuses_is_400_with_the_rule_and_is_not_stored(doors: Doors, body: bytes) -> None:
    before = await doors.stored()
    answer = await post(doors, body)
    problem = answer.json()
    assert (answer.status_code, problem["code"]) == (400, "malformed")
    assert answer.headers["content-type"] == "application/problem+json"
    assert problem["rule"]
    refusal = admitted(body).refusal
    assert refusal and refusal.code == problem["code"]
    assert await doors.stored() == before


@pytest.mark.parametrize("body", TAKEN.values(), ids=TAKEN)
async def test_what_the_worker_takes_is_202(doors: Doors, body: bytes) -> None:
    answer = await post(doors, body)
    assert answer.status_code == 202
    assert admitted(body).refusal is None


async def test_a_problem_names_the_field(doors: Doors) -> None:
    assert (await post(doors, quantity(b'"1"'))).json()["field"] == "$.lines[0].quantity"
    assert (await post(doors, REFUSED["a missing field"])).json()["field"] == "$.site"
    assert (await post(doors, REFUSED["an unknown field inside"])).json()["field"] == "$.lines[0].colour"


async def test_a_body_over_64_kib_is_413_with_a_length_and_without(doors: Doors) -> None:
    assert (await post(doors, b"[" + b" " * MAX_BODY)).status_code == 413

    async def chunks() -> Any:
        for _ in range(200):
            yield b" " * 1024

    answer = await doors.http.post("/orders", content=chunks(), headers={"content-type": "application/json"})
    assert (answer.status_code, answer.json()["code"]) == (413, "too-large")
    assert answer.headers["connection"] == "close"


async def test_of_a_body_far_too_long_only_the_beginning_is_read(doors: Doors) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.settings.http_port)
    key = doors.settings.api_key("storefront")
    head = f"POST /orders HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: {10 << 20}\r\n\r\n"
    writer.write(head.encode() + b" " * (MAX_BODY + door.HEARD_OUT + 1))
    assert b" 413 " in await asyncio.wait_for(reader.readline(), 5)
    with suppress(ConnectionResetError):
        await reader.read()  # And the door is shut: the rest is never read.
    writer.close()


async def test_a_body_that_drips_is_408(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door, "BODY_WITHIN_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.settings.http_port)
    key = doors.settings.api_key("storefront")
    writer.write(f"POST /orders HTTP/1.1\r\nHost: x\r\nX-API-Key: {key}\r\nContent-Length: 9\r\n\r\n{{".encode())
    assert b" 408 " in await asyncio.wait_for(reader.readline(), 10)
    await reader.read()
    writer.close()


@pytest.mark.parametrize("given", ["text/plain", "application/json; charset=latin-1", "application/jsonx", ""])
async def test_another_content_type_is_415(doors: Doors, given: str) -> None:
    answer = await doors.http.post("/orders", content=BODY, headers={"content-type": given} if given else {})
    assert (answer.status_code, answer.json()["code"]) == (415, "not-json")


@pytest.mark.parametrize("given", ["application/json; charset=utf-8", 'Application/JSON;charset="UTF-8"'])
async def test_utf_8_may_be_said(doors: Doors, given: str) -> None:
    assert (await doors.http.post("/orders", content=BODY, headers={"content-type": given})).status_code == 202


@pytest.mark.parametrize("key", ["a.b", "a%20b", "*", "%3E", "a" * 65, "%00"])
async def test_a_key_that_is_no_token_is_refused(doors: Doors, key: str) -> None:
    answer = await doors.place(f"/orders/{key}")
    assert (answer.status_code, answer.json()["field"]) == (400, "order_id")


@pytest.mark.parametrize("given", ["a b", "a.b", "", "a" * 65, "ä"])
async def test_an_idempotency_key_that_is_no_token_is_refused(doors: Doors, given: str) -> None:
    headers = [(b"content-type", b"application/json"), (b"idempotency-key", given.encode("latin-1"))]
    answer = await doors.http.post("/orders", content=BODY, headers=headers)
    assert (answer.status_code, answer.json()["field"]) == (400, "Idempotency-Key")


async def test_a_command_takes_no_query_parameters(doors: Doors) -> None:
    assert (await doors.place("/orders?dry=1")).status_code == 400
