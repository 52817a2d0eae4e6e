"""`Prefer: wait`: the decision with the answer, where it comes in time."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any

import msgspec
from nats.aio.msg import Msg

from common.recorded import COMMAND_ID_HEADER, VERSION, VERSION_HEADER, Receipt
from common.subjects import receipt_subject
from tests.gateway.doors import ORDER, Doors, deciding, hash_of, on_command, receipt

OURS = {VERSION_HEADER: VERSION}


def pushing(
    doors: Doors, decided: dict[str, Receipt] | None = None, headers: dict[str, str] = OURS, **fields: Any
) -> AbstractContextManager[None]:
    """A worker that notes and pushes a receipt as soon as it hears of a command."""

    async def push(message: Msg) -> None:
        command_id = (message.headers or {})[COMMAND_ID_HEADER]
        _, principal, context, key, _ = message.subject.split(".")
        made = receipt(command_id, **({"key": key, "hash": hash_of(ORDER, key)} | fields))
        if decided is not None:
            decided[command_id] = made
        subject = receipt_subject(principal, context, command_id)
        await doors.nc.publish(subject, msgspec.json.encode(made), headers=headers)

    return on_command(doors, push)


async def test_an_accepted_command_is_200_with_its_receipt(doors: Doors) -> None:
    with pushing(doors, version=1, position=7):
        answer = await doors.place(prefer="wait=10")
    assert answer.status_code == 200
    assert answer.headers["preference-applied"] == "wait=10"
    found = msgspec.json.decode(answer.content, type=Receipt)
    assert (found.state, found.version, found.position) == ("accepted", 1, 7)
    assert answer.headers["location"] == f"/commands/order/{found.command_id}"


async def test_a_rejected_command_is_409_with_the_rule(doors: Doors) -> None:
    rule: dict[str, Any] = {"code": "order.price-changed", "message": "it costs more now", "detail": {"price": 130}}
    with pushing(doors, state="rejected", **rule):
        answer = await doors.place(prefer="wait=10")
    problem = answer.json()
    assert (answer.status_code, problem["code"], problem["detail"]) == (409, "order.price-changed", "it costs more now")
    assert problem["rule"] == {"price": 130}
    assert answer.headers["content-type"] == "application/problem+json"


async def test_a_parked_command_is_202_and_says_so(doors: Doors) -> None:
    with pushing(doors, state="parked", code="behind"):
        answer = await doors.place(prefer="wait=10")
    assert (answer.status_code, answer.json()["state"]) == (202, "parked")


async def test_a_receipt_without_our_header_is_not_heard(doors: Doors) -> None:
    with pushing(doors, headers={}):
        answer = await doors.place(prefer="wait=1")
    assert (answer.status_code, answer.json()["state"]) == (202, "undecided")


async def test_when_the_time_runs_out_the_answer_is_202(doors: Doors) -> None:
    answer = await doors.place(prefer="respond-async, wait=1")
    assert (answer.status_code, answer.json()["state"]) == (202, "undecided")
    assert answer.headers["preference-applied"] == "wait=1"
    assert answer.headers["retry-after"]


async def test_a_receipt_whose_push_was_lost_is_found_in_the_store_well_before_the_time_is_out(doors: Doors) -> None:
    began = asyncio.get_running_loop().time()
    decided: dict[str, Receipt] = {}

    async def decide(message: Msg) -> None:
        command_id = (message.headers or {})[COMMAND_ID_HEADER]
        key = message.subject.split(".")[3]
        decided[command_id] = receipt(command_id, key=key, hash=hash_of(ORDER, key))

    with on_command(doors, decide):
        async with deciding(doors.nc, decided):
            answer = await doors.place(prefer="wait=30")
    assert answer.status_code == 200
    assert asyncio.get_running_loop().time() - began < 10


async def test_the_push_of_another_body_under_our_id_is_not_taken_for_ours(doors: Doors) -> None:
    with pushing(doors, state="rejected", code="command-id-used", hash="another"):
        answer = await doors.place(prefer="wait=1")
    assert answer.status_code == 202


async def test_an_id_that_the_worker_finds_used_is_422(doors: Doors) -> None:
    with pushing(doors, state="rejected", code="command-id-used", message="used"):
        answer = await doors.place(prefer="wait=10", idempotency_key="found-used")
    assert answer.status_code == 422


async def test_all_who_wait_for_one_command_get_its_receipt(doors: Doors) -> None:
    decided: dict[str, Receipt] = {}
    async with deciding(doors.nc, decided):
        with pushing(doors, decided):
            waiting = (doors.place(prefer="wait=10", idempotency_key="together") for _ in range(20))
            answers = await asyncio.gather(*waiting)
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.content for answer in answers}) == 1


async def test_what_is_no_number_of_seconds_is_not_applied(doors: Doors) -> None:
    for preference in ("wait=soon", "wait=-1", "waits=5", "wait=0"):
        answer = await doors.place(prefer=preference)
        assert answer.status_code == 202
        assert "preference-applied" not in answer.headers
