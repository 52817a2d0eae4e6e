"""Who may read a bucket, watch it and put into it, on a real server (design section 11)."""

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg
from nats.js.errors import KeyNotFoundError

from common.bus.api import ask_jetstream
from common.bus.bucket import FOLD_HEADER, Entry, sequence_of
from common.bus.direct import direct, one
from common.bus.provision import COMMANDS
from common.bus.watching import watched
from common.recorded import VERSION_HEADER
from tests.bus.rights import BUCKET, OPEN, Connect, Standing, User
from tests.bus.server import until


async def test_who_may_watch_is_told_the_value_now_and_each_change_as_every_nats_client_is(as_user: Connect) -> None:
    admin, carol = await as_user("admin"), await as_user("carol")
    await admin.nc.jetstream().publish("$KV.door-state.d1", b"open")
    found: Any = await carol.nc.jetstream().key_value("door-state")
    watcher = await found.watch("d1")
    assert (await watcher.updates()).value == b"open"
    assert await watcher.updates() is None  # It has caught up.
    await admin.nc.jetstream().publish("$KV.door-state.d1", b"shut")
    assert (await watcher.updates()).value == b"shut"
    await watcher.stop()
    assert "d1" in await found.keys()
    assert (await found.get("d1")).value == b"shut"
    assert [each.value for each in await found.history("d1")] == [b"shut"]
    with pytest.raises(KeyNotFoundError):
        await found.get("nokey")
    async with aclosing(watched(carol.nc, "KV_door-state", "$KV.door-state.d1")) as messages:
        assert (await anext(messages)).data == b"shut"
        await admin.nc.jetstream().publish("$KV.door-state.d1", b"ajar")
        assert (await anext(messages)).data == b"ajar"
    last = {"last_by_subj": "$KV.door-state.d1"}
    assert await ask_jetstream(carol.nc, "STREAM.MSG.GET.KV_door-state", last)
    assert await carol.may_publish("$JS.FC.KV_door-state.c.1")
    assert carol.errors.counts == {}


async def test_a_watcher_is_told_all_there_is_as_fast_as_it_takes_it(as_user: Connect) -> None:
    """Flow control crosses the border of the accounts both ways: else the server would stop after the first of them."""
    admin, carol = await as_user("admin"), await as_user("carol")
    keys = {f"flood.{number}" for number in range(200)}
    for key in keys:
        await admin.nc.jetstream().publish(f"$KV.door-state.{key}", bytes(50_000))
    watcher: Any = await (await carol.nc.jetstream().key_value("door-state")).watch("flood.*")
    assert {(await watcher.updates(timeout=5)).key for _ in keys} == keys
    await watcher.stop()
    assert carol.errors.counts == {}


async def test_a_watcher_may_ask_for_several_values_at_once(as_user: Connect) -> None:
    """As the client in Node does: each comes in a message of its own, and one that says that these are all."""
    admin, carol = await as_user("admin"), await as_user("carol")
    subjects = [f"$KV.door-state.several{number}" for number in range(3)]
    for subject in subjects:
        await admin.nc.jetstream().publish(subject, b"open")
    answers: asyncio.Queue[Msg] = asyncio.Queue()
    await carol.nc.subscribe("_INBOX.carol.several", cb=answers.put)
    question = msgspec.json.encode({"multi_last": subjects})
    await carol.nc.publish("$JS.API.DIRECT.GET.KV_door-state", question, reply="_INBOX.carol.several")
    told = [await asyncio.wait_for(answers.get(), 5) for _ in range(len(subjects) + 1)]
    assert {(each.headers or {}).get("Nats-Subject") for each in told[:-1]} == {*subjects}
    assert (told[-1].headers or {})["Status"] == "204"


@pytest.mark.parametrize(
    "subject",
    [
        "$KV.door-state.d1",
        "$KV.door-state.checkpoint.door",
        "$JS.API.STREAM.PURGE.KV_door-state",
        "$JS.API.STREAM.DELETE.KV_door-state",
        "$JS.API.STREAM.UPDATE.KV_door-state",
        "$JS.API.STREAM.MSG.DELETE.KV_door-state",
        "$JS.API.CONSUMER.MSG.NEXT.KV_door-state.c",
        "$JS.API.CONSUMER.NAMES.KV_door-state",  # Who else watches is not to be known.
        "$JS.API.CONSUMER.LIST.KV_door-state",
        *(
            f"$JS.API.{verb}"
            for stream in ("KV_bell-state", "EVENTS_door", COMMANDS)
            for verb in (f"CONSUMER.CREATE.{stream}.c", f"DIRECT.GET.{stream}.x", f"STREAM.MSG.GET.{stream}")
        ),
        "$JS.API.STREAM.NAMES",
        "$JS.API.STREAM.CREATE.KV_door-state",
        OPEN,
    ],
)
async def test_who_may_watch_changes_nothing_and_reads_nothing_else(as_user: Connect, subject: str) -> None:
    assert not await (await as_user("carol")).may_publish(subject)


async def test_who_may_watch_hears_nothing_but_their_own_inbox(as_user: Connect) -> None:
    carol = await as_user("carol")
    for subject in ("_INBOX.>", "_INBOX.bob.>", "_INBOX.projectors.>", "$KV.door-state.>", "$KV.>", "$JS.EVENT.>"):
        assert not await carol.may_subscribe(subject)


@pytest.mark.parametrize("forged", ["event.door.Opened.d1", "receipt.bob.door.c1", "moved.doors", "beat.relay.door"])
async def test_what_a_watcher_has_delivered_elsewhere_is_no_word_of_ours_there(as_user: Connect, forged: str) -> None:
    """The server delivers to a consumer wherever that says, with the headers that a value has in the bucket."""
    admin, carol, projectors = await as_user("admin"), await as_user("carol"), await as_user("projectors")
    put = BUCKET.put(forged.replace(".", "-"), Entry(0, 1, 1, Standing("d1")))
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await admin.nc.subscribe(forged, cb=heard.put)
    await admin.nc.flush()
    config = {"name": "forged", "deliver_subject": forged, "ack_policy": "none", "filter_subject": put.subject}
    question = {"stream_name": "KV_door-state", "config": config, "action": "create"}
    await ask_jetstream(carol.nc, f"CONSUMER.CREATE.KV_door-state.forged.{put.subject}", question)
    await projectors.nc.jetstream().publish(put.subject, put.body, headers=dict(put.headers))
    told = await asyncio.wait_for(heard.get(), 5)
    assert FOLD_HEADER in (told.headers or {})
    assert VERSION_HEADER not in (told.headers or {})
    await ask_jetstream(carol.nc, "CONSUMER.DELETE.KV_door-state.forged", {})


@pytest.mark.parametrize("place", ["KV_door-state.>", "COMMANDS", "EVENTS_door"])
async def test_nothing_is_deleted_by_what_a_watcher_has_delivered_to_the_api(as_user: Connect, place: str) -> None:
    """A heartbeat is empty, which is how one asks to delete a stream: the server delivers where somebody listens."""
    admin, carol = await as_user("admin"), await as_user("carol")
    config = {
        "name": "deadly",
        "deliver_subject": f"$JS.API.STREAM.DELETE.{place.removesuffix('.>')}",
        "idle_heartbeat": 100_000_000,
        "deliver_policy": "new",
        "ack_policy": "none",
    }
    question = {"stream_name": "KV_door-state", "config": config, "action": "create"}
    await ask_jetstream(carol.nc, "CONSUMER.CREATE.KV_door-state.deadly", question)
    await admin.nc.jetstream().publish("$KV.door-state.d2", b"open")

    async def asked() -> bool:
        info = await ask_jetstream(admin.nc, "CONSUMER.INFO.KV_door-state.deadly", {})
        return bool(info["num_pending"] == 1)  # Nothing was delivered.

    await until(asked)
    for stream in ("KV_door-state", COMMANDS, "EVENTS_door"):
        await ask_jetstream(admin.nc, f"STREAM.INFO.{stream}", {})
    await ask_jetstream(carol.nc, "CONSUMER.DELETE.KV_door-state.deadly", {})


@pytest.mark.parametrize(
    ("question", "body"),
    [
        *((verb, b"") for verb in ("STREAM.INFO", "STREAM.MSG.GET", "CONSUMER.CREATE", "DIRECT.GET")),
        ("STREAM.INFO", b"{odd"),
        ("STREAM.MSG.GET", b'{"last_by_subj":"$KV.door-state.nokey"}'),
        *((verb, b"{odd") for verb in ("CONSUMER.INFO.{}.c", "CONSUMER.DELETE.{}.c", "CONSUMER.CREATE.{}.c.x")),
        *((verb, b"") for verb in ("CONSUMER.INFO.{}.c", "CONSUMER.DELETE.{}.c", "CONSUMER.CREATE.{}.c.x")),
        ("DIRECT.GET.{}.$KV.door-state.nokey", b""),
        ("CONSUMER.MSG.NEXT.{}.waiting", b'{"no_wait":true}'),
        ("CONSUMER.MSG.NEXT.{}.waiting", b"{odd"),
    ],
)
async def test_nothing_is_deleted_by_what_answers_a_watcher(as_user: Connect, question: str, body: bytes) -> None:
    """An empty answer, sent to a forged reply subject of the API, asks there to delete or to purge all."""
    admin, carol = await as_user("admin"), await as_user("carol")
    config = {"name": "waiting", "ack_policy": "none", "filter_subject": "$KV.door-state.none"}
    await ask_jetstream(carol.nc, "CONSUMER.CREATE.KV_door-state", {"stream_name": "KV_door-state", "config": config})
    await admin.nc.jetstream().publish("command.bob.door.d1.Lock", b"")
    subject = question.format("KV_door-state") if "{}" in question else f"{question}.KV_door-state"
    before = await held(admin)
    for stream in ("COMMANDS", "EVENTS_door", "KV_door-state"):
        for verb in ("PURGE", "DELETE"):
            await carol.nc.publish(f"$JS.API.{subject}", body, reply=f"$JS.API.STREAM.{verb}.{stream}")
    await carol.nc.flush()
    await ask_jetstream(carol.nc, "STREAM.INFO.KV_door-state", {})  # Answered in turn, behind those.
    assert await held(admin) == before


async def held(admin: User) -> list[int]:
    """How many messages each stream has. Raises ApiError when one is gone."""
    streams = (COMMANDS, "EVENTS_door", "KV_door-state")
    return [(await ask_jetstream(admin.nc, f"STREAM.INFO.{each}", {}))["state"]["messages"] for each in streams]


async def test_what_is_stored_with_a_status_is_a_stored_message_all_the_same(as_user: Connect) -> None:
    admin, forged = await as_user("admin"), "$KV.door-state.forged"
    await admin.nc.jetstream().publish(forged, b"", headers={"Status": "404"})
    found = await one(admin.nc, "KV_door-state", forged)
    assert found and (found.headers or {}).get("Status") == "404", found
    await admin.nc.jetstream().publish("$KV.door-state.behind", b"open")
    asked = {"seq": sequence_of(found), "batch": 9, "next_by_subj": "$KV.door-state.>"}
    assert [each.data for each in await direct(admin.nc, "KV_door-state", asked)] == [b"", b"open"]
    assert "forged" in (await BUCKET.strays(admin.nc, 1, 1000))[1]
    assert await one(admin.nc, "KV_door-state", "$KV.door-state.nokey") is None


async def test_projectors_keep_their_bucket_and_no_other(as_user: Connect) -> None:
    projectors = await as_user("projectors")
    await projectors.nc.jetstream().publish("$KV.door-state.d3", b"{}")
    await ask_jetstream(projectors.nc, "STREAM.CREATE.KV_door-state", BUCKET.config)  # As it is.
    assert await one(projectors.nc, "KV_door-state", "$KV.door-state.d3")
    question = {"multi_last": ["$KV.door-state.d3"]}
    assert [each.data for each in await direct(projectors.nc, "KV_door-state", question)] == [b"{}"]
    assert projectors.errors.counts == {}
    for subject in (
        "$KV.bell-state.b1",
        "$JS.API.STREAM.CREATE.KV_bell-state",
        "$JS.API.STREAM.DELETE.KV_door-state",
        "$JS.API.STREAM.PURGE.KV_door-state",
        "$JS.API.STREAM.UPDATE.KV_door-state",
    ):
        assert not await projectors.may_publish(subject)


async def test_the_gateway_gets_from_a_bucket_and_puts_nothing(as_user: Connect) -> None:
    gateway = await as_user("gateway")
    await one(gateway.nc, "KV_door-state", "$KV.door-state.d3")
    assert gateway.errors.counts == {}
    for subject in (
        "$KV.door-state.d1",
        "$JS.API.CONSUMER.CREATE.KV_door-state.c",
        "$JS.API.STREAM.INFO.KV_door-state",
    ):
        assert not await gateway.may_publish(subject)
