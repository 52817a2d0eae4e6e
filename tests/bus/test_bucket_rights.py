"""Who may read a bucket, watch it and put into it, on a real server (design section 11)."""

import asyncio
from contextlib import aclosing
from typing import Any

import msgspec
import pytest
from nats.aio.msg import Msg
from nats.js.errors import KeyNotFoundError

from common.bus.api import ask_jetstream
from common.bus.batches import FEW, Batches
from common.bus.bucket import Entry, sequence_of
from common.bus.direct import direct, one
from common.bus.outgoing import Refused
from common.bus.provision import COMMANDS
from common.bus.watching import watched
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


ELSEWHERE = [
    *(f"$JS.API.STREAM.DELETE.{stream}" for stream in (COMMANDS, "EVENTS_door", "KV_bell-state")),
    f"$JS.API.STREAM.PURGE.{COMMANDS}",
    *("event.door.Opened.x", OPEN, "command.bob.door.d1.Lock", "$KV.bell-state.b1"),
    *("receipt.bob.door.c1", "moved.doors", "beat.relay.door", "_INBOX.bob.x.1", "_INBOX.gateway.x.1"),
]
"""Where who watches may say that it is to be delivered. A heartbeat, or what has headers only, has no body: that is how
one asks to delete a stream."""


@pytest.mark.parametrize("place", ELSEWHERE)
async def test_what_a_watcher_has_delivered_elsewhere_reaches_nobody(as_user: Connect, place: str) -> None:
    """The server delivers where somebody listens, and does so in the account of buckets."""
    admin, carol = await as_user("admin"), await as_user("carol")
    before = await held(admin)
    heard = await admin.nc.subscribe(place)
    await admin.nc.flush()
    forged: dict[str, Any] = {"deliver_subject": place, "idle_heartbeat": 100_000_000, "deliver_policy": "new"}
    await consumer(carol, "forged", **forged)
    await admin.nc.jetstream().publish("$KV.door-state.d2", b"open")

    async def asked() -> bool:
        info = await ask_jetstream(carol.nc, "CONSUMER.INFO.KV_door-state.forged", {})
        return bool(info["num_pending"] == 1)  # Nothing was delivered.

    await until(asked)
    await ask_jetstream(carol.nc, "CONSUMER.DELETE.KV_door-state.forged", {})
    await admin.nc.flush()
    assert (heard.pending_msgs, await held(admin)) == (0, before)


TRIES = 10


@pytest.mark.parametrize("more", [{"headers_only": True, "replay_policy": "original"}, {"rate_limit_bps": 1024}, {}])
@pytest.mark.parametrize("place", ELSEWHERE)
async def test_what_is_delivered_elsewhere_while_the_server_believes_that_somebody_listens_reaches_nobody(
    as_user: Connect, place: str, more: dict[str, Any]
) -> None:
    """Who has listened, and changes where to deliver, has a few messages delivered where nobody listens."""
    admin, carol = await as_user("admin"), await as_user("carol")
    before = await held(admin)
    heard = await admin.nc.subscribe(place)
    await admin.nc.flush()
    inbox = "_INBOX.carol.race"
    for number in range(TRIES):
        await admin.nc.jetstream().publish("$KV.door-state.race", b"%d" % number)
        config = {"deliver_subject": inbox, "filter_subject": "$KV.door-state.race", **more}
        listening = await carol.nc.subscribe(inbox)
        await consumer(carol, "race", **config)
        await listening.unsubscribe()
        await consumer(carol, "race", "update", **config | {"deliver_subject": place})
        for _ in range(3):
            await admin.nc.jetstream().publish("$KV.door-state.race", b"open")

        async def settled() -> bool:
            info = await ask_jetstream(carol.nc, "CONSUMER.INFO.KV_door-state.race", {})
            return bool(info["num_pending"] == 0 or not info.get("push_bound"))

        await until(settled)
        await ask_jetstream(carol.nc, "CONSUMER.DELETE.KV_door-state.race", {})
    await admin.nc.flush()
    assert (heard.pending_msgs, await held(admin)) == (0, before)


async def consumer(watcher: User, name: str, action: str = "create", **config: Any) -> None:
    """Made, or changed, by who may watch."""
    given = {"name": name, "ack_policy": "none", **config}
    question = {"stream_name": "KV_door-state", "config": given, "action": action}
    verb = ".".join(["CONSUMER.CREATE.KV_door-state", name, *filter(None, [config.get("filter_subject")])])
    await ask_jetstream(watcher.nc, verb, question)


async def test_the_worst_that_a_watcher_does_is_to_the_bucket_which_is_made_anew(as_user: Connect) -> None:
    """The account of buckets has no other stream, and none of our users."""
    admin = await as_user("admin")
    streams = (await ask_jetstream(admin.nc, "STREAM.NAMES", {}))["streams"]
    assert sorted(streams) == [COMMANDS, "EVENTS_bell", "EVENTS_door", "EVENTS_lamp", "KV_bell-state"]
    await ask_jetstream(admin.nc, "STREAM.DELETE.KV_door-state", {})
    projectors = await as_user("projectors")
    await ask_jetstream(projectors.nc, "STREAM.CREATE.KV_door-state", BUCKET.config)
    await projectors.nc.jetstream().publish("$KV.door-state.d1", b"{}")


async def test_projectors_put_a_batch_at_once_and_only_over_what_they_know(as_user: Connect) -> None:
    """Nats-Batch-Id, the revision that is expected and the answer all cross the border of the accounts."""
    projectors = await as_user("projectors")
    batches = Batches(projectors.nc, size=100)
    entries = [BUCKET.put(f"batch{number}", Entry(0, 1, 1, Standing("d1"))) for number in range(FEW * 4)]
    acks = await batches.publish_all(entries)
    assert acks[-1].sequence - acks[0].sequence == len(entries) - 1
    with pytest.raises(Refused, match="wrong last sequence"):
        await batches.publish_all(entries)
    assert projectors.errors.counts == {}


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
    """How many messages each stream has had that is not the bucket. Raises ApiError when one is gone."""
    streams = (COMMANDS, "EVENTS_door", "KV_bell-state")
    return [(await ask_jetstream(admin.nc, f"STREAM.INFO.{each}", {}))["state"]["last_seq"] for each in streams]


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
