"""`/consistency-lag`: what is not known is said to be unknown, and who is silent, stuck or missing is said to be so."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from time import monotonic
from typing import Any

import msgspec
import nats.errors
import pytest
from nats.aio.msg import Msg

from common.recorded import STATUS_HEADER, VERSION, VERSION_HEADER
from common.shell.durations import Quantiles
from gateway import beats
from tests.bus.server import until
from tests.gateway.doors import Doors

TOOK = Quantiles(3, 1, 12.0, 30.0, 40.0, 41.0)
BEAT = {
    "model": "orders",
    "context": "order",
    "position": 7,
    "incarnation": "one",
    "generation": 0,
    "state": "live",
    "error": "",
    "hops": {"recorded_to_visible": TOOK},
    "clocks": [{"server": "nats", "offset_ms": 0.5, "within_ms": 0.1, "measured_s": 3.0}],
    "pid": 1,
}
OURS = {VERSION_HEADER: VERSION}


async def said(doors: Doors, kind: str, name: str, **changes: Any) -> None:
    beat = BEAT if kind == "projector" else {"context": "order", "pid": 2}
    await doors.nc.publish(f"beat.{kind}.{name}", msgspec.json.encode(beat | changes), headers=OURS)
    await doors.nc.flush()


async def line(doors: Doors, **fields: Any) -> dict[str, Any]:
    """The model's line, as soon as it shows these fields."""
    found: dict[str, Any] = {}

    async def shown() -> bool:
        found.update((await doors.http.get("/consistency-lag/orders")).json()["read_models"][0])
        return all(found[name] == value for name, value in fields.items())

    await until(shown)
    return found


async def processes(doors: Doors) -> dict[tuple[str, str], dict[str, Any]]:
    found = (await doors.http.get("/consistency-lag")).json()["processes"]
    return {(each["kind"], each["name"]): each for each in found}


@asynccontextmanager
async def head(doors: Doors, position: int, ms: float | None = 0.0, incarnation: str = "one") -> AsyncIterator[None]:
    """Somebody who answers for the head of `order`."""

    async def answer(message: Msg) -> None:
        after = msgspec.json.decode(message.data)["after"]
        lag = [{"events": max(position - each, 0), "ms": 0.0 if each >= position else ms} for each in after]
        answer = {"context": "order", "position": position, "incarnation": incarnation, "recorded_at": None}
        await message.respond(msgspec.json.encode(answer | {"lag": lag, "oldest_snapshot_ms": 4200.0}))

    subscription = await doors.nc.subscribe("query.gateway.OrderHead", cb=answer)
    await doors.nc.flush()
    yield
    await subscription.unsubscribe()


async def test_a_head_that_nobody_tells_is_unknown_and_never_0(doors: Doors) -> None:
    await said(doors, "projector", "orders")
    found = await line(doors, state="live")
    assert (found["head"], found["events"], found["ms"]) == ("unknown", "unknown", "unknown")
    assert [found[name] for name in ("projected", "p50_ms", "p95_ms", "p99_ms", "max_ms", "n")] == [
        7,
        12,
        30,
        40,
        41,
        3,
    ]


@pytest.mark.parametrize(("ms", "shown"), [(31.25, 31.2), (None, "unknown")])
async def test_the_lag_is_what_the_context_says_of_the_projected_position(
    doors: Doors, ms: float | None, shown: float | str
) -> None:
    await said(doors, "projector", "orders")
    async with head(doors, 9, ms):
        found = await line(doors, state="live", head=9)
    assert (found["projected"], found["head"], found["events"], found["ms"]) == (7, 9, 2, shown)


async def test_who_is_alive_and_has_all_is_0_behind(doors: Doors) -> None:
    await said(doors, "projector", "orders")
    async with head(doors, 7):
        found = await line(doors, state="live", head=7)
    assert (found["events"], found["ms"]) == (0, 0)


async def test_who_is_silent_is_late_then_dead_and_never_0_behind(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await said(doors, "projector", "orders")
    async with head(doors, 7):
        await line(doors, state="live")
        now = monotonic()
        for age, state in ((2.0, "late"), (4.5, "dead")):
            monkeypatch.setattr(beats, "monotonic", lambda age=age: now + age)
            found = (await doors.http.get("/consistency-lag/orders")).json()["read_models"][0]
            assert (found["state"], found["head"], found["events"], found["ms"]) == (state, 7, "unknown", "unknown")
            assert found["heard_s"] >= age
    async with head(doors, 9, 800.0):  # How much is missing is known all the same.
        found = await line(doors, state="dead", head=9)
        assert (found["p50_ms"], found["n"], found["hops"]) == (None, 0, {})  # Its last minute is another than ours.
        assert (found["events"], found["ms"]) == (2, 800)


async def test_who_beats_but_does_not_move_is_stalled(doors: Doors, monkeypatch: pytest.MonkeyPatch) -> None:
    await said(doors, "projector", "orders", position=7)
    now = monotonic()
    monkeypatch.setattr(beats, "monotonic", lambda: now + 3.5)
    await said(doors, "projector", "orders", position=7)
    async with head(doors, 9, 3400.0):
        assert (await line(doors, state="stalled"))["ms"] == 3400
    async with head(doors, 9, 20.0):  # It has been idle, and there is something to do since a moment.
        await line(doors, state="live", head=9)
    await said(doors, "projector", "orders", position=8)
    async with head(doors, 9, 3400.0):
        await line(doors, state="live", projected=8)


async def test_a_model_in_trouble_is_red_with_its_reason(doors: Doors) -> None:
    await said(doors, "projector", "orders", state="red", error="ValueError: no such thing")
    async with head(doors, 7):
        found = await line(doors, state="red", head=7)
    assert (found["error"], found["events"]) == ("ValueError: no such thing", "unknown")
    await said(doors, "projector", "orders")


async def test_a_position_that_is_not_known_is_not_0(doors: Doors) -> None:
    await said(doors, "projector", "products", model="products", context="product", position=None, incarnation="")
    found = (await doors.http.get("/consistency-lag/products")).json()["read_models"][0]
    assert (found["projected"], found["events"], found["ms"]) == ("unknown", "unknown", "unknown")


@pytest.mark.parametrize(("position", "incarnation"), [(3, "one"), (7, "two")])
async def test_a_place_in_another_record_tells_nothing(doors: Doors, position: int, incarnation: str) -> None:
    """The record was restored from a backup: it ends before what the model shows, or is another."""
    await said(doors, "projector", "orders")
    async with head(doors, position, incarnation=incarnation):
        found = await line(doors, state="live", head=position)
    assert (found["events"], found["ms"]) == ("unknown", "unknown")


async def test_the_whole_way_is_put_together_from_all_who_time_it(doors: Doors) -> None:
    await said(doors, "worker", "order", hops={"accepted_to_decided": TOOK, "decided_to_recorded": TOOK}, partitions=17)
    await said(doors, "relay", "order", hops={"recorded_to_relayed": TOOK}, position=7, error="", stalled="")
    await said(doors, "projector", "orders")
    found = await line(doors, state="live")
    ways = ["accepted_to_decided", "decided_to_recorded", "recorded_to_relayed", "recorded_to_visible"]
    assert sorted(found["hops"]) == ways
    assert found["hops"]["recorded_to_relayed"]["p95_ms"] == 30


async def test_relays_and_workers_have_states_too(doors: Doors) -> None:
    await said(doors, "relay", "order", position=7, error="", stalled="")
    await said(doors, "worker", "order", error="the database is away", partitions=17)
    found = await processes(doors)
    assert found["relay", "order"]["state"] == "live"
    assert (found["worker", "order"]["state"], found["worker", "order"]["error"]) == ("red", "the database is away")
    await said(doors, "relay", "order", position=7, error="Stalled: another store", stalled="incarnation")
    assert (await processes(doors))["relay", "order"]["state"] == "stalled"


async def test_who_reacts_is_shown_for_each_context_that_it_follows(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    beat = {"incarnation": "one", "error": "", "state": "live"}

    async def lines() -> dict[str, dict[str, Any]]:
        found = (await doors.http.get("/consistency-lag")).json()["processes"]
        return {each["context"]: each for each in found if (each["kind"], each["name"]) == ("reactions", "delivery")}

    async def stalled() -> bool:
        return bool((await lines())["order"]["state"] == "stalled")

    async def both() -> bool:
        return len(await lines()) == 2

    await said(doors, "reactions", "delivery", context="order", position=7, **beat)
    await said(doors, "reactions", "delivery", context="product", position=2, **beat | {"error": "it crashed"})
    await until(both)
    async with head(doors, 9, 20.0):
        found = await lines()
    assert [found["order"][name] for name in ("state", "events", "ms")] == ["live", 2, 20]
    assert [found["product"][name] for name in ("state", "error", "events")] == ["red", "it crashed", "unknown"]
    now = monotonic()
    monkeypatch.setattr(beats, "monotonic", lambda: now + 3.5)
    await said(doors, "reactions", "delivery", context="order", position=7, **beat)
    async with head(doors, 9, 3400.0):
        await until(stalled)
    monkeypatch.setattr(beats, "monotonic", lambda: now + 9)
    assert (await lines())["order"]["state"] == "dead"
    metrics = (await doors.http.get("/metrics")).text
    assert 'daybook_part_state{kind="reactions",name="delivery to order",state="dead"} 1.0' in metrics


async def test_who_should_be_there_and_was_never_heard_is_dead_and_not_absent(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = monotonic()
    monkeypatch.setattr(beats, "monotonic", lambda: now + 10)
    found = await processes(doors)
    for who in (("relay", "product"), ("worker", "product")):
        assert (found[who]["state"], found[who]["heard_s"]) == ("dead", None)


async def test_a_worker_that_ended_does_not_count_while_another_works(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def heard() -> bool:
        return bool((await processes(doors))["worker", "order"]["said"].get("pid") == 71)

    await said(doors, "worker", "order", pid=71, partitions=17)
    await until(heard)
    now = monotonic()
    monkeypatch.setattr(beats, "monotonic", lambda: now + 5)
    assert (await processes(doors))["worker", "order"]["state"] == "dead"
    await said(doors, "worker", "order", pid=72, partitions=17)
    found = (await doors.http.get("/consistency-lag")).json()["processes"]
    workers = [each for each in found if (each["kind"], each["name"]) == ("worker", "order")]
    assert [(each["state"], each["said"]["pid"]) for each in workers] == [("live", 72)]


async def test_the_oldest_snapshot_and_the_clocks_are_shown(doors: Doors) -> None:
    await said(doors, "projector", "orders")
    async with head(doors, 7):
        found = (await doors.http.get("/consistency-lag")).json()
    snapshots = {each["context"]: each["oldest_snapshot_ms"] for each in found["contexts"]}
    assert {snapshots.pop("order"), *snapshots.values()} == {4200, "unknown"}
    clocks = [each["clocks"] for each in found["processes"] if (each["kind"], each["name"]) == ("projector", "orders")]
    assert clocks == [BEAT["clocks"]]


async def test_a_beat_without_our_header_or_without_sense_is_not_heard(doors: Doors) -> None:
    await doors.nc.publish("beat.relay.forged", b'{"stream":"COMMANDS","seq":1}')
    await doors.nc.publish("beat.worker.senseless", b"no JSON", headers=OURS)
    await said(doors, "projector", "orders", hops="nonsense", clocks=7)
    assert (await line(doors, state="live"))["hops"].get("recorded_to_visible") is None
    assert {name for _, name in await processes(doors)}.isdisjoint({"forged", "senseless"})


async def test_a_model_of_no_name_known_is_404(doors: Doors) -> None:
    reply = await doors.http.get("/consistency-lag/nonsense")
    assert (reply.status_code, reply.json()["code"]) == (404, "not-found")


async def test_it_is_answered_over_nats_into_the_askers_own_inbox_only(doors: Doors) -> None:
    await said(doors, "projector", "orders")
    subject = "query.storefront.ConsistencyLag"
    asked = await doors.nc.subscribe("_INBOX.storefront.here")
    astray = await doors.nc.subscribe("_INBOX.operator.here")
    await doors.nc.publish(subject, b"{}", reply="_INBOX.operator.here")
    await doors.nc.publish(subject, b'{"model":"orders"}', reply="_INBOX.storefront.here")
    reply = await asked.next_msg(timeout=5)
    assert [each["model"] for each in msgspec.json.decode(reply.data)["read_models"]] == ["orders"]
    await doors.nc.publish(subject, b'{"model":"nonsense"}', reply="_INBOX.storefront.here")
    reply = await asked.next_msg(timeout=5)
    assert reply.headers is not None and reply.headers[STATUS_HEADER] == "404"
    with pytest.raises(nats.errors.TimeoutError):
        await astray.next_msg(timeout=0.1)
    await asked.unsubscribe()
    await astray.unsubscribe()


async def test_a_table_that_is_built_is_a_line_of_its_own_and_is_forgotten_when_it_is_done(
    doors: Doors, monkeypatch: pytest.MonkeyPatch
) -> None:
    await said(doors, "projector", "orders", state="rebuilding", version=1, generation=9)
    beside = {"model": "orders__2", "version": 2, "building": True, "position": 3}
    await said(doors, "projector", "orders__2", state="rebuilding", **beside)
    async with head(doors, 9, 50_000.0):
        await line(doors, state="rebuilding", head=9)
        now = monotonic()
        monkeypatch.setattr(beats, "monotonic", lambda: now + 1)
        found = (await doors.http.get("/consistency-lag/orders")).json()["read_models"]
        assert [(each["model"], each["version"], each["building"], each["projected"]) for each in found] == [
            ("orders", 1, False, 7),
            ("orders__2", 2, True, 3),
        ]
        assert [(each["state"], each["events"]) for each in found] == [("rebuilding", 2), ("rebuilding", 6)]
        shown = (await doors.http.get("/metrics")).text
        assert 'daybook_lag_events{context="order",model="orders__2"} 6.0' in shown
        assert 'daybook_lag_seconds{context="order",model="orders__2"}' not in shown
        monkeypatch.setattr(beats, "monotonic", lambda: now + 5)
        found = (await doors.http.get("/consistency-lag/orders")).json()["read_models"]
        assert [(each["model"], each["state"]) for each in found] == [("orders", "dead")]


async def test_the_gateway_beats_too(doors: Doors) -> None:
    async def alive() -> bool:
        return bool((await processes(doors))["gateway", "gateway"]["state"] == "live")

    await until(alive)
