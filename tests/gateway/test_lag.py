"""`/consistency-lag`: what is not known is said to be unknown, and who is silent is said to be dead."""

from time import monotonic
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg

from common.recorded import VERSION, VERSION_HEADER
from gateway import lag
from tests.bus.server import until
from tests.gateway.doors import Doors

BEAT = {"model": "orders", "context": "order", "position": 7, "state": "live", "p50_ms": 12.0, "p99_ms": 40.0, "n": 3}

OURS = {VERSION_HEADER: VERSION}


async def told(doors: Doors) -> dict[str, Any]:
    """The model's line, once the gateway has heard the beat."""
    await doors.nc.publish("beat.relay.forged", b'{"stream":"COMMANDS","seq":1}')
    await doors.nc.publish("beat.worker.order", b"no JSON", headers=OURS)
    await doors.nc.publish("beat.projector.orders", msgspec.json.encode(BEAT), headers=OURS)
    await doors.nc.flush()
    found: list[dict[str, Any]] = []

    async def heard() -> bool:
        found[:] = (await doors.http.get("/consistency-lag")).json()["read_models"]
        return bool(found)

    await until(heard)
    return found[0]


async def test_a_head_that_nobody_tells_is_unknown_and_never_0(doors: Doors) -> None:
    line = await told(doors)
    assert (line["head"], line["events"], line["ms"]) == ("unknown", "unknown", "unknown")
    assert (line["projected"], line["state"], line["p50_ms"], line["p99_ms"]) == (7, "live", 12.0, 40.0)


async def test_a_beat_without_our_header_is_not_heard(doors: Doors) -> None:
    await told(doors)
    processes = (await doors.http.get("/consistency-lag")).json()["processes"]
    assert "projector" in {each["kind"] for each in processes}
    assert "relay" not in {each["kind"] for each in processes}


@pytest.mark.parametrize(("said", "shown"), [(31.25, 31.2), (None, "unknown")])
async def test_the_lag_is_what_the_context_says_of_the_projected_position(
    doors: Doors, said: float | None, shown: float | str
) -> None:
    async def answer(message: Msg) -> None:
        assert msgspec.json.decode(message.data) == {"after": [7]}
        head = {"context": "order", "position": 9, "incarnation": "i", "recorded_at": None}
        await message.respond(msgspec.json.encode(head | {"lag": [{"events": 2, "ms": said}]}))

    head = await doors.nc.subscribe("query.gateway.OrderHead", cb=answer)
    line = await told(doors)
    await head.unsubscribe()
    assert (line["projected"], line["head"], line["events"], line["ms"]) == (7, 9, 2, shown)


async def test_who_is_silent_is_late_and_then_dead(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    await told(doors)
    now = monotonic()
    for age, state in ((4.0, "late"), (60.0, "dead")):
        monkeypatch.setattr(lag, "monotonic", lambda age=age: now + age)
        found = (await doors.http.get("/consistency-lag")).json()
        assert {each["state"] for each in found["read_models"]} == {state}
        projector = [each for each in found["processes"] if each["kind"] == "projector"]
        assert [each["state"] for each in projector] == [state]
        assert projector[0]["heard_s"] >= age


async def test_the_gateway_beats_too(doors: Doors) -> None:
    async def alive() -> bool:
        processes = (await doors.http.get("/consistency-lag")).json()["processes"]
        return ("gateway", "live") in {(each["kind"], each["state"]) for each in processes}

    await until(alive)
