"""An installation from before there were accounts keeps its streams, with all that lies in them."""

from pathlib import Path

import pytest
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.bus.permissions import providing
from common.bus.provision import COMMANDS, ProvisionError, provision_streams, require_apart
from common.principals import hash_password
from common.servers.accounts import NatsUser
from common.servers.files import CannotStart, free_port
from common.servers.nats import nats_child, stream_folder, take_over
from tests.bus.server import Server

EVERYBODY: list[NatsUser] = []
ADMIN = [NatsUser("admin", hash_password("admin"), [">"], [">"])]


async def stored(data: Path, users: list[NatsUser]) -> tuple[int, list[bytes]]:
    """Starts a server on the folder and stores a command; under which sequence, and what the stream then holds."""
    server = Server(data, users, data / "nats")
    await server.start()
    try:
        nc = await server.connect("admin" if users else None)
        await provision_streams(nc, ["door"])
        ack = await nc.jetstream().publish("command.alice.door.d1.Open", b"%d" % len(users))
        found = ack.seq, await bodies(nc, ack.seq)
        await nc.close()
    finally:
        await server.kill()
    return found


async def bodies(nc: Client, last: int) -> list[bytes]:
    return [(await nc.jetstream().get_msg(COMMANDS, number)).data or b"" for number in range(1, last + 1)]


async def test_what_was_stored_before_there_were_accounts_is_ours(tmp_path: Path) -> None:
    assert await stored(tmp_path, EVERYBODY) == (1, [b"0"])
    child = nats_child(tmp_path, ADMIN, free_port())  # It has moved them before it is started.
    assert child.name == "nats"
    assert await stored(tmp_path, ADMIN) == (2, [b"0", b"1"])
    assert (stream_folder(tmp_path, COMMANDS)).is_dir()
    take_over(tmp_path / "nats")
    assert await stored(tmp_path, ADMIN) == (3, [b"0", b"1", b"1"])


@pytest.mark.parametrize("there", [[], ["DAYBOOK"]])
def test_nothing_is_moved_where_there_is_nothing_or_ours_is_there_already(tmp_path: Path, there: list[str]) -> None:
    for account in there:
        (tmp_path / "jetstream" / account / "streams" / account).mkdir(parents=True)
    take_over(tmp_path)
    assert sorted(each.name for each in tmp_path.glob("jetstream/*/streams/*")) == sorted(there)


def test_of_two_places_of_streams_none_is_forgotten_without_a_word(tmp_path: Path) -> None:
    """Older code ran on the folder once more: what it took lies where this code does not look."""
    there = [tmp_path / "jetstream" / account / "streams" / COMMANDS for account in ("$G", "DAYBOOK")]
    for each in there:
        each.mkdir(parents=True)
    with pytest.raises(CannotStart, match="keep one of the two folders"):
        take_over(tmp_path)
    assert all(each.is_dir() for each in there)


async def test_the_bucket_that_was_in_our_account_is_moved_with_all_that_lies_in_it(tmp_path: Path) -> None:
    """What older code has made once more is the newest and is kept."""
    hashed = hash_password("admin")
    ours = [NatsUser("admin", hashed, [">"], [">"])]
    apart = [NatsUser("admin", hashed, [">", "$KV.doors.>", *providing(["doors"])], [">"])]
    config = {"name": "KV_doors", "subjects": ["$KV.doors.>"]}

    async def put(users: list[NatsUser]) -> int:
        take_over(tmp_path / "nats")
        server = Server(tmp_path, users, tmp_path / "nats")
        await server.start()
        nc = await server.connect("admin")
        try:
            await ask_jetstream(nc, "STREAM.CREATE.KV_doors", config)
            sequence = (await nc.jetstream().publish("$KV.doors.d1", b"open")).seq
            if users is apart:
                await require_apart(nc, ["KV_doors"])
            else:
                with pytest.raises(ProvisionError, match=r"KV_doors lies in the account DAYBOOK.*jetstream/BUCKETS"):
                    await require_apart(nc, ["KV_doors"])
            return sequence
        finally:
            await nc.close()
            await server.kill()

    assert [await put(users) for users in (ours, apart, apart, ours, apart)] == [1, 2, 3, 1, 2]
    assert stream_folder(tmp_path, "KV_doors").parts[-3:] == ("BUCKETS", "streams", "KV_doors")
    assert stream_folder(tmp_path, "KV_doors").is_dir()
