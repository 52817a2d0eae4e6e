"""The server sends its answers to any reply subject, with rights of its own: they stay in the account of who names it.

Some of them have no body, which on a subject of the API is how one asks to purge or to delete a stream.
"""

import asyncio

import pytest
from nats.aio.msg import Msg

from common.bus.api import ask_jetstream
from common.bus.provision import COMMANDS
from common.recorded import VERSION, VERSION_HEADER
from tests.bus.rights import OPEN, Connect, User

STREAMS = (COMMANDS, "EVENTS_door", "KV_door-state", "KV_bell-state")
FORGED = [
    *(f"$JS.API.STREAM.{verb}.{stream}" for verb in ("PURGE", "DELETE") for stream in STREAMS),
    "api.STREAM.DELETE.COMMANDS",  # As an account of a principal calls our API.
    "$JS.API.CONSUMER.CREATE.EVENTS_door.forged",
    "event.door.Opened.d1",
    "$KV.door-state.d1",
    "receipt.bob.door.c1",
    "command.bob.door.d1.Lock",
    "command.alice.door.d1.Lock",  # A role that she has not.
    "command.door.bell.b1.Ring",
    "work.door.0.bob.d1.Lock",
    "query.bob.FindDoor",
    "beat.worker.door",
    "moved.doors",
    "hint.door",
    "erased",
    "_INBOX.bob.x.1",
    "_INBOX.gateway.x.1",
]
BATCH, PLACE, COMMIT = "Nats-Batch-Id", "Nats-Batch-Sequence", "Nats-Batch-Commit"
KEY, NOKEY = (f"$JS.API.DIRECT.GET.KV_door-state.$KV.door-state.{key}" for key in ("d1", "nokey"))
INFO = "$JS.API.STREAM.INFO.KV_door-state"


async def everything(alice: User, carol: User, reply: str) -> None:
    """Whatever they may publish that is answered, and how; returns when the server has answered all of it."""
    for number, headers in enumerate(
        (
            {},
            {BATCH: reply, PLACE: "1"},  # Answered without a body: the batch is not at its end.
            {BATCH: reply, PLACE: "2", COMMIT: "1"},
            {BATCH: f"{reply}2", PLACE: "2"},  # An error: it has no beginning.
            {VERSION_HEADER: VERSION, "Nats-Trace-Dest": reply},
        )
    ):
        await alice.nc.publish(OPEN, b"%d" % number, reply=reply, headers=headers)
    await alice.nc.publish("query.alice.FindDoor", b"", reply=reply)
    for subject in (
        NOKEY,
        f"{NOKEY[:-5]}d1",
        INFO,
        "$JS.FC.KV_door-state.c.1",
        "$JS.API.CONSUMER.INFO.KV_door-state.c",
    ):
        await carol.nc.publish(subject, b"", reply=reply)
    await alice.nc.request(OPEN, b"last", timeout=5)
    await carol.nc.request(INFO, b"", timeout=5)


async def held(admin: User) -> list[tuple[int, int]]:
    """How many messages each stream has, and has had. Raises ApiError when one is gone."""
    found = [(await ask_jetstream(admin.nc, f"STREAM.INFO.{each}", {}))["state"] for each in STREAMS]
    return [(each["messages"], each["last_seq"]) for each in found]


async def answering(answers: User) -> None:
    """Every query is answered as we do it."""

    async def respond(message: Msg) -> None:
        await answers.nc.publish(message.reply, b"{}", headers={VERSION_HEADER: VERSION})

    await answers.nc.subscribe("query.*.FindDoor", queue="answers", cb=respond)
    await answers.nc.flush()


@pytest.mark.parametrize("forged", FORGED)
async def test_whatever_a_forged_reply_subject_is_nothing_changes_and_nobody_else_hears_of_it(
    as_user: Connect, forged: str
) -> None:
    admin, bob, alice, carol = [await as_user(name) for name in ("admin", "bob", "alice", "carol")]
    await admin.nc.jetstream().publish("$KV.door-state.d1", b"open")
    await admin.nc.jetstream().publish("event.door.Opened.d1", b"")
    heard = await admin.nc.subscribe(forged)
    bobs = [await bob.nc.subscribe(subject) for subject in ("_INBOX.bob.x.1", "receipt.bob.>")]
    await admin.nc.flush()
    await bob.nc.flush()
    commands, *others = await held(admin)
    await everything(alice, carol, forged)  # And nobody answers the query.
    await answering(await as_user("answers"))
    await everything(alice, carol, forged)
    # Twice the first, two of a batch and the last. The one to be traced is denied: that takes the right to publish.
    assert await held(admin) == [tuple(each + 8 for each in commands), *others]
    await admin.nc.flush()
    await bob.nc.flush()
    assert [each.pending_msgs for each in (heard, *bobs)] == [0, 0, 0]


@pytest.mark.parametrize(
    "forged", ["_R_.x.y", "_R_.>", "$JS.ACK.COMMANDS.c.1.1.1.1.1", "_GR_.x.y.event.door.Opened.d1"]
)
async def test_a_reply_subject_that_is_the_servers_own_is_denied(as_user: Connect, forged: str) -> None:
    assert not await (await as_user("alice")).may_publish(OPEN, reply=forged)


@pytest.mark.parametrize("forged", ["event.door.Opened.id.10.ok.1.0.$FI", "$JS.API.STREAM.PURGE.COMMANDS.$FI"])
async def test_a_reply_subject_for_batches_of_the_other_kind_leaves_all_as_it_is(as_user: Connect, forged: str) -> None:
    admin, alice = await as_user("admin"), await as_user("alice")
    commands, *others = await held(admin)
    heard = await admin.nc.subscribe(forged)
    await admin.nc.flush()
    await alice.nc.publish(OPEN, b"", reply=forged)
    await alice.nc.request(OPEN, b"last", timeout=5)
    await admin.nc.flush()
    assert await held(admin) == [tuple(each + 1 for each in commands), *others]
    assert heard.pending_msgs == 0


async def test_what_is_forged_is_heard_by_the_forger_alone(as_user: Connect) -> None:
    """As a receipt of theirs, in an account where nobody else is: the answer to a query has our version header."""
    alice, bob = await as_user("alice"), await as_user("bob")
    own, others = await alice.nc.subscribe("receipt.alice.>"), await bob.nc.subscribe("receipt.bob.>")
    await answering(await as_user("answers"))
    await bob.nc.flush()
    await alice.nc.publish("query.alice.FindDoor", b"", reply="receipt.bob.door.c1")
    await alice.nc.publish("query.alice.FindDoor", b"", reply="receipt.alice.door.c1")
    assert ((await own.next_msg(timeout=5)).headers or {})[VERSION_HEADER] == VERSION
    await bob.nc.flush()
    assert others.pending_msgs == 0


async def test_what_is_forged_into_a_subject_of_ones_own_is_what_one_may_say_anyway(as_user: Connect) -> None:
    admin, alice = await as_user("admin"), await as_user("alice")
    asked = await admin.nc.subscribe("query.>")
    await admin.nc.flush()
    for subject in ("query.alice.Unknown", "query.bob.FindDoor", "query.alice.FindDoor"):
        await alice.nc.publish(OPEN, b"", reply=subject)
    assert (await asked.next_msg(timeout=5)).subject == "query.alice.FindDoor"
    await alice.nc.request(OPEN, b"", timeout=5)
    await admin.nc.flush()
    assert asked.pending_msgs == 0


async def test_what_the_server_says_of_who_sends_cannot_be_forged_and_is_not_stored(as_user: Connect) -> None:
    admin, answers, alice = await as_user("admin"), await as_user("answers"), await as_user("alice")
    told: asyncio.Queue[Msg] = asyncio.Queue()
    await answers.nc.subscribe("query.*.FindDoor", cb=told.put)
    await answers.nc.flush()
    forged = {"Nats-Request-Info": '{"acc":"DAYBOOK-bob","svc":"DAYBOOK"}', "Kept": "as it is"}
    await alice.nc.publish("query.alice.FindDoor", b"", headers=forged)
    headers = (await asyncio.wait_for(told.get(), 5)).headers or {}
    assert headers["Nats-Request-Info"].startswith('{"acc":"DAYBOOK-alice"')
    for given, stored in ((forged, {"Kept": "as it is"}), (None, None)):
        ack = await alice.nc.jetstream().publish(OPEN, b"", headers=given)
        assert (await admin.nc.jetstream().get_msg(COMMANDS, ack.seq)).headers == stored


async def test_a_question_that_nobody_answers_is_told_so_at_once(as_user: Connect) -> None:
    alice = await as_user("alice")
    heard: asyncio.Queue[Msg] = asyncio.Queue()
    await alice.nc.subscribe("_INBOX.alice.x.1", cb=heard.put)
    await alice.nc.publish("query.alice.FindDoor", b"", reply="_INBOX.alice.x.1")
    assert ((await asyncio.wait_for(heard.get(), 5)).headers or {})["Status"] == "503"


async def test_answers_to_one_principal_reach_each_of_its_connections_by_itself(as_user: Connect) -> None:
    one, other = await as_user("alice"), await as_user("alice")
    await answering(await as_user("answers"))
    replies = await asyncio.gather(*(each.nc.request("query.alice.FindDoor", b"", timeout=5) for each in (one, other)))
    assert [each.data for each in replies] == [b"{}", b"{}"]
    acks = await asyncio.gather(*(each.nc.jetstream().publish(OPEN, b"") for each in (one, other)))
    assert len({each.seq for each in acks}) == 2
