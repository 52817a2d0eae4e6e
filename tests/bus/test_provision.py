"""The streams as provisioning makes and keeps them, on a real server (protocols P4, P7, P9)."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from nats.aio.client import Client
from nats.js.errors import APIError, NoStreamResponseError

from common.bus.api import ApiError, ask_jetstream
from common.bus.outgoing import MAX_MESSAGE
from common.bus.provision import COMMANDS, ProvisionError, provision_streams, require_accounts
from common.principals import hash_password
from common.servers.accounts import NatsUser
from common.subjects import PARTITIONS, STRAY, CommandSubject, parse_work
from tests.bus.server import Server, until


@pytest_asyncio.fixture
async def nc(tmp_path: Path) -> AsyncIterator[Client]:
    """A connection to an empty server of the test's own."""
    server = Server(tmp_path)
    await server.start()
    client = await server.connect()
    yield client
    await client.close()
    await server.kill()


async def config_of(nc: Client, stream: str) -> dict[str, Any]:
    config: dict[str, Any] = (await ask_jetstream(nc, f"STREAM.INFO.{stream}", {}))["config"]
    return config


async def stored_as(nc: Client, subject: str) -> str:
    """The subject under which the command stream keeps what was published under another."""
    ack = await nc.jetstream().publish(subject, b"")
    return (await nc.jetstream().get_msg(COMMANDS, ack.seq)).subject or ""


async def test_a_server_on_which_a_forged_reply_subject_could_purge_commands_is_refused(tmp_path: Path) -> None:
    server = Server(tmp_path)
    config = tmp_path / "nats.conf"
    config.write_text(config.read_text().replace('"strict": true', '"strict": false'))
    await server.start()
    nc = await server.connect()
    # What would happen there: whoever may publish one message takes away all that came before it.
    await nc.jetstream().add_stream(name=COMMANDS, subjects=["command.>"])
    await nc.jetstream().publish("command.bob.order.o1.PlaceOrder", b"")
    await nc.publish("command.alice.order.o2.PlaceOrder", b"", reply=f"$JS.API.STREAM.PURGE.{COMMANDS}")

    async def purged() -> bool:
        state = (await nc.jetstream().stream_info(COMMANDS)).state
        return (state.first_seq, state.last_seq) == (2, 2)

    await until(purged)
    with pytest.raises(ProvisionError, match="strict: true"):
        await provision_streams(nc, ["order"])
    await nc.close()
    await server.kill()


async def test_a_server_without_accounts_is_refused_and_one_with_ours_is_not(nc: Client, tmp_path: Path) -> None:
    with pytest.raises(ProvisionError, match=r"daybook prepare.*jetstream/\$G .* jetstream/DAYBOOK"):
        await require_accounts(nc)
    folder = tmp_path / "with"
    folder.mkdir()
    server = Server(folder, [NatsUser("admin", hash_password("admin"), [">"], [">"])])
    await server.start()
    admin = await server.connect("admin")
    await require_accounts(admin)
    await admin.close()
    with pytest.raises(ProvisionError, match="nats-server does not answer"):
        await require_accounts(admin)
    await server.kill()


async def test_provisioning_again_changes_nothing(nc: Client) -> None:
    assert await provision_streams(nc, ["order", "product"]) == [COMMANDS, "EVENTS_order", "EVENTS_product"]
    before = await config_of(nc, COMMANDS)
    assert await provision_streams(nc, ["product", "order"]) == []
    assert await config_of(nc, COMMANDS) == before


async def test_a_context_added_later_gets_its_streams_and_the_others_keep_what_they_hold(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    await stored_as(nc, "command.alice.order.o1.PlaceOrder")
    assert await provision_streams(nc, ["order", "stock"]) == [COMMANDS, "EVENTS_stock"]
    assert parse_work(await stored_as(nc, "command.alice.stock.s1.CountStock")).context == "stock"
    assert (await ask_jetstream(nc, f"STREAM.INFO.{COMMANDS}", {}))["state"]["messages"] == 2


async def test_a_command_is_stored_under_its_partition_and_its_key_always_has_the_same(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    subjects = [parse_work(await stored_as(nc, f"command.alice.order.o{n}.PlaceOrder")) for n in range(100)]
    assert subjects[7] == CommandSubject(subjects[7].partition, "alice", "order", "o7", "PlaceOrder")
    assert {subject.partition for subject in subjects} == {str(number) for number in range(PARTITIONS)}
    again = parse_work(await stored_as(nc, "command.bob.order.o7.CancelOrder"))
    assert again.partition == subjects[7].partition


@pytest.mark.parametrize(
    "subject",
    [
        "command.alice.order.*.PlaceOrder",
        "command.alice.order.>.PlaceOrder",
        "command.alice.order.k.>",
        "command.*.order.k.PlaceOrder",
        "command.alice.order.k",
        "command.alice.order.k.PlaceOrder.more",
    ],
)
async def test_a_stray_is_stored_where_the_stray_consumer_looks(nc: Client, subject: str) -> None:
    await provision_streams(nc, ["order"])
    assert await stored_as(nc, subject) == subject
    assert parse_work(subject).partition == STRAY


async def test_a_command_to_an_unknown_context_is_stored_nowhere(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    with pytest.raises(NoStreamResponseError):
        await nc.jetstream().publish("command.alice.orders.k.PlaceOrder", b"")


async def test_a_command_that_no_door_of_ours_would_let_through_is_not_stored(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    with pytest.raises(APIError) as refused:
        await nc.jetstream().publish("command.alice.order.k.PlaceOrder", b"x" * (MAX_MESSAGE + 1))
    assert refused.value.err_code == 10054


@pytest.mark.parametrize(
    "header", [{"Nats-TTL": "1s"}, {"Nats-Rollup": "all"}, {"Nats-Schedule": "@every 1s", "Nats-Schedule-Target": "x"}]
)
async def test_a_sender_cannot_make_the_server_drop_or_repeat_commands(nc: Client, header: dict[str, str]) -> None:
    await provision_streams(nc, ["order"])
    with pytest.raises(APIError):
        await nc.jetstream().publish("command.alice.order.k.PlaceOrder", b"", headers=header)


async def test_settled_commands_of_one_partition_can_be_purged_alone(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    stored = [parse_work(await stored_as(nc, f"command.alice.order.o{n}.PlaceOrder")).partition for n in range(40)]
    chosen = stored[0]
    last = max(place for place, partition in enumerate(stored, 1) if partition == chosen)
    filters = {"filter": f"work.order.{chosen}.>", "seq": last}
    answer = await ask_jetstream(nc, f"STREAM.PURGE.{COMMANDS}", filters)
    assert answer["purged"] == stored.count(chosen) - 1


async def test_events_can_be_neither_deleted_nor_purged(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    await nc.jetstream().publish("event.order.OrderPlaced.o1", b"")
    for verb, question in (("STREAM.PURGE", {}), ("STREAM.MSG.DELETE", {"seq": 1})):
        with pytest.raises(ApiError):
            await ask_jetstream(nc, f"{verb}.EVENTS_order", question)


async def test_another_count_of_partitions_is_refused_in_one_line(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    found = await config_of(nc, COMMANDS)
    await ask_jetstream(nc, f"STREAM.UPDATE.{COMMANDS}", {**found, "metadata": {"partitions": "32"}})
    with pytest.raises(ProvisionError, match=r"COMMANDS has metadata .*32.* and this program needs .*16") as refused:
        await provision_streams(nc, ["order"])
    assert "\n" not in str(refused.value)


async def test_a_stream_of_events_that_keeps_other_promises_is_refused(nc: Client) -> None:
    other = {"name": "EVENTS_order", "subjects": ["event.order.>"], "storage": "memory"}
    await ask_jetstream(nc, "STREAM.CREATE.EVENTS_order", other)
    with pytest.raises(ProvisionError, match="EVENTS_order"):
        await provision_streams(nc, ["order"])


async def test_what_may_be_changed_is_brought_back(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    found = await config_of(nc, COMMANDS)
    await ask_jetstream(nc, f"STREAM.UPDATE.{COMMANDS}", {**found, "allow_atomic": False, "discard": "old"})
    assert await provision_streams(nc, ["order"]) == [COMMANDS]
    assert await config_of(nc, COMMANDS) == found


async def test_the_size_of_a_stream_is_the_operators(nc: Client) -> None:
    await provision_streams(nc, ["order"])
    found = await config_of(nc, COMMANDS)
    await ask_jetstream(nc, f"STREAM.UPDATE.{COMMANDS}", {**found, "max_bytes": 2 * found["max_bytes"]})
    assert await provision_streams(nc, ["order"]) == []
    assert (await config_of(nc, COMMANDS))["max_bytes"] == 2 * found["max_bytes"]


async def test_a_subject_that_another_stream_holds_is_one_clear_line(nc: Client) -> None:
    await ask_jetstream(nc, "STREAM.CREATE.OTHER", {"name": "OTHER", "subjects": ["event.>"]})
    with pytest.raises(ProvisionError, match="overlap"):
        await provision_streams(nc, ["order"])
