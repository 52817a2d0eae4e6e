"""Who may say and hear what, on a real server with the users as they are generated (design section 11, protocol P4)."""

import asyncio

import msgspec
import nats.errors
import pytest
from nats.aio.msg import Msg

from common.bus.api import ask_jetstream
from common.bus.provision import COMMANDS
from common.bus.pull import Puller
from common.recorded import VERSION, VERSION_HEADER
from tests.bus.rights import OPEN, Connect
from tests.bus.server import Server


async def test_a_principal_sends_the_commands_of_its_roles_and_asks_in_its_own_name(as_user: Connect) -> None:
    alice = await as_user("alice")
    assert (await alice.nc.jetstream().publish(OPEN, b"")).stream == COMMANDS
    assert await alice.may_publish("query.alice.FindDoor")
    assert await alice.may_subscribe("receipt.alice.door.>")
    assert await alice.may_subscribe("_INBOX.alice.x.*")


@pytest.mark.parametrize(
    "subject",
    [
        "command.bob.door.d1.Open",  # another's name
        "command.door.door.d1.Open",  # a context's reactions
        "command.alice.door.d1.Lock",  # a role alice has not
        "command.alice.door.d1.RecordAlarm",  # from reactions only
        "command.alice.door.d1.Burn",  # unknown type
        "command.alice.bell.d1.Open",  # another context's type
        "command.alice.door.d1.more.Open",  # six tokens
        "work.door.0.alice.d1.Open",  # past the transform
        "event.door.Opened.d1",
        "receipt.alice.door.c1",
        "receipt.bob.door.c1",
        "query.bob.FindDoor",
        "query.alice.Unknown",
        "hint.door",
        "erased",
        "beat.worker.door",
        "_INBOX.bob.x.1",
        "_INBOX.gateway.x.1",
        "_INBOX.alice.x.1",
        "$JS.ACK.COMMANDS.c.1.1.1.1.1",
        "$JS.API.INFO",
        "$JS.API.STREAM.INFO.COMMANDS",
        "$JS.API.STREAM.PURGE.COMMANDS",
        "$JS.API.STREAM.MSG.GET.COMMANDS",
        "$JS.API.CONSUMER.CREATE.COMMANDS.c",
        "$JS.API.CONSUMER.CREATE.EVENTS_door.c",
        "$JS.API.CONSUMER.CREATE.KV_door-state.c",  # Without the role.
        "$JS.API.STREAM.INFO.KV_door-state",
        "$JS.API.DIRECT.GET.KV_door-state.$KV.door-state.d1",
        "$KV.door-state.d1",
        "$SYS.REQ.USER.INFO2",
    ],
)
async def test_a_principal_can_publish_nothing_else(as_user: Connect, subject: str) -> None:
    assert not await (await as_user("alice")).may_publish(subject)


@pytest.mark.parametrize(
    "subject",
    [
        *(">", "*.>", "_INBOX.>", "_INBOX.bob.>", "_INBOX.gateway.>"),
        *("receipt.>", "receipt.bob.>", "receipt.*.door.>", "query.>", "query.alice.>"),
        *("command.>", "command.alice.>", "work.>", "event.>", "hint.door", "beat.>", "$JS.>"),
    ],
)
async def test_a_principal_can_hear_nothing_else(as_user: Connect, subject: str) -> None:
    assert not await (await as_user("alice")).may_subscribe(subject)


async def test_a_denied_publish_looks_like_a_timeout_and_is_counted(as_user: Connect) -> None:
    alice = await as_user("alice")
    with pytest.raises(nats.errors.TimeoutError):
        await alice.nc.jetstream().publish("event.door.Opened.d1", b"", timeout=0.2)
    assert alice.errors.counts["denied"] == 1
    assert "event.door.opened.d1" in alice.errors.last  # The client repeats it in lower case.


async def test_responders_can_answer_into_inboxes_and_say_nothing_else(as_user: Connect) -> None:
    answers, alice = await as_user("answers"), await as_user("alice")

    async def respond(message: Msg) -> None:
        await answers.nc.publish(message.reply, b"open")

    await answers.nc.subscribe("query.*.FindDoor", queue="answers", cb=respond)
    await answers.nc.flush()
    assert (await alice.nc.request("query.alice.FindDoor", b"", timeout=5)).data == b"open"
    for subject in (OPEN, "command.answers.door.d1.Open", "event.door.Opened.d1", "receipt.alice.door.c1", "beat.x.y"):
        assert not await answers.may_publish(subject)
    for subject in ("receipt.>", "_INBOX.>", "event.>", "command.>"):
        assert not await answers.may_subscribe(subject)


async def test_receipts_reach_who_they_are_for(as_user: Connect) -> None:
    context, alice, bob = await as_user("context-door"), await as_user("alice"), await as_user("bob")
    told, others = await alice.nc.subscribe("receipt.alice.door.*"), await bob.nc.subscribe("receipt.bob.>")
    await alice.nc.flush()
    await bob.nc.flush()
    await context.nc.publish("receipt.alice.door.c1", b"accepted", headers={VERSION_HEADER: VERSION})
    assert (await told.next_msg(timeout=5)).data == b"accepted"
    await bob.nc.flush()
    assert others.pending_msgs == 0


async def test_a_context_works_on_its_own_and_reads_what_it_follows(as_user: Connect) -> None:
    context, alice = await as_user("context-door"), await as_user("alice")
    await alice.nc.jetstream().publish(OPEN, b"")
    for stream, filters in ((COMMANDS, ["work.door.>", "command.*.door.>"]), ("EVENTS_bell", ["event.bell.>"])):
        puller = Puller(context.nc, stream, filters, 1)
        await puller.take(10, 0.2)
        await puller.close()
    await ask_jetstream(context.nc, f"STREAM.PURGE.{COMMANDS}", {"filter": "work.door.>"})
    for subject in ("event.door.Opened.d1", "receipt.alice.door.c1", "hint.door", "beat.worker.door"):
        assert await context.may_publish(subject)
    assert (await context.nc.jetstream().publish("command.door.bell.b1.Ring", b"")).stream == COMMANDS
    assert await context.may_subscribe("hint.door")
    assert await context.may_subscribe("erased")
    assert context.errors.counts == {}


@pytest.mark.parametrize(
    "subject",
    [
        "command.alice.door.d1.Open",
        "command.bell.door.d1.Open",
        "event.bell.Rung.b1",
        "receipt.alice.bell.c1",
        "hint.bell",
        "erased",
        "query.alice.FindDoor",
        "_INBOX.alice.x.1",
        "$JS.API.STREAM.DELETE.COMMANDS",
        "$JS.API.STREAM.UPDATE.COMMANDS",
        "$JS.API.STREAM.PURGE.EVENTS_door",
        "$JS.API.CONSUMER.CREATE.EVENTS_lamp.c",  # It does not follow lamp.
        "$JS.API.CONSUMER.CREATE.EVENTS_lamp.c.event.lamp.>",
        "$JS.API.CONSUMER.MSG.NEXT.EVENTS_lamp.c",
        "$JS.API.STREAM.MSG.GET.EVENTS_lamp",
        "$JS.API.CONSUMER.NAMES.EVENTS_bell",  # Who follows bell beside it is not to be known.
        "$JS.API.CONSUMER.LIST.EVENTS_bell",
        "$JS.API.CONSUMER.DELETE.EVENTS_lamp.c",
    ],
)
async def test_a_context_cannot_speak_for_others(as_user: Connect, subject: str) -> None:
    assert not await (await as_user("context-door")).may_publish(subject)


@pytest.mark.parametrize("name", ["context-door", "projectors"])
async def test_readers_do_not_hear_of_the_consumers_of_others(as_user: Connect, name: str) -> None:
    reader = await as_user(name)
    for subject in ("$JS.EVENT.ADVISORY.>", "$JS.API.CONSUMER.CREATE.EVENTS_bell.>", "_INBOX.context-lamp.>"):
        assert not await reader.may_subscribe(subject)


async def test_the_gateway_speaks_for_principals_and_hears_receipts(as_user: Connect) -> None:
    gateway = await as_user("gateway")
    ack = await gateway.nc.jetstream().publish(OPEN, b"")
    await ask_jetstream(gateway.nc, f"STREAM.MSG.GET.{COMMANDS}", {"seq": ack.seq})
    assert await gateway.may_publish("query.alice.FindDoor")
    assert await gateway.may_subscribe("receipt.alice.door.c1")
    assert await gateway.may_subscribe("beat.>")
    for subject in ("event.door.Opened.d1", "receipt.alice.door.c1", f"$JS.API.STREAM.PURGE.{COMMANDS}", "hint.door"):
        assert not await gateway.may_publish(subject)
    assert not await gateway.may_subscribe("_INBOX.>")


async def test_projectors_read_events_and_nothing_else(as_user: Connect) -> None:
    projectors = await as_user("projectors")
    puller = Puller(projectors.nc, "EVENTS_door", ["event.door.>"], 1)
    await puller.take(10, 0.1)
    await puller.close()
    assert await projectors.may_publish("beat.projector.doors")
    assert projectors.errors.counts == {}
    for subject in (OPEN, "event.door.Opened.d1", "$JS.API.CONSUMER.CREATE.COMMANDS.c", "receipt.alice.door.c1"):
        assert not await projectors.may_publish(subject)


@pytest.mark.parametrize("login", [{}, {"user": "mallory", "pass": "mallory"}, {"user": "alice", "pass": "wrong"}])
async def test_a_stranger_and_a_wrong_password_are_turned_away(doors: Server, login: dict[str, str]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", doors.port)
    assert (await reader.readline()).startswith(b"INFO ")
    writer.write(b"CONNECT " + msgspec.json.encode({"verbose": False, **login}) + b"\r\nPING\r\n")
    assert b"Authorization Violation" in await reader.readline()
    writer.close()
    await writer.wait_closed()
