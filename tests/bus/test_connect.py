"""A connection that never gives up."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
import pytest_asyncio

from common.bus.connect import BusErrors, connect
from common.config import ConfigError, Settings
from common.principals import hash_password
from common.servers.accounts import NatsUser
from tests.bus.server import Server, until

PASSWORD = "a password of its own"


@pytest.fixture
def server(tmp_path: Path) -> Server:
    """With one user; not started."""
    return Server(tmp_path, [NatsUser("answers", hash_password(PASSWORD), ["_INBOX.>"], ["_INBOX.answers.>"])])


@pytest_asyncio.fixture
async def running(server: Server) -> AsyncIterator[Server]:
    await server.start()
    yield server
    await server.kill()


def settings_for(server: Server, folder: Path) -> Settings:
    credentials = folder / "credentials.json"
    credentials.write_bytes(msgspec.json.encode({"nats": {"answers": PASSWORD}, "api_keys": {}}))
    return Settings(data=folder, nats_url=server.url, principals=folder / "none", credentials=credentials)


async def test_a_server_that_starts_later_is_waited_for(server: Server, tmp_path: Path) -> None:
    errors = BusErrors()
    connecting = asyncio.ensure_future(connect(settings_for(server, tmp_path), "answers", errors))

    async def refused() -> bool:
        return errors.counts.total() > 1

    await until(refused)
    await server.start()
    nc = await asyncio.wait_for(connecting, 5)
    assert nc.is_connected
    await nc.close()
    await server.kill()


async def test_a_server_that_was_killed_is_found_again(running: Server, tmp_path: Path) -> None:
    nc = await connect(settings_for(running, tmp_path), "answers")
    await running.kill()
    await running.start()

    async def back() -> bool:
        return nc.is_connected and nc.stats["reconnects"] == 1

    await until(back)
    await nc.close()


async def test_answers_arrive_under_the_users_own_name(running: Server, tmp_path: Path) -> None:
    nc = await connect(settings_for(running, tmp_path), "answers")
    inbox = nc.new_inbox()
    assert inbox.startswith("_INBOX.answers.")
    subscription = await nc.subscribe(inbox)
    await nc.publish(inbox, b"here")
    assert (await subscription.next_msg(5)).data == b"here"
    await nc.close()


async def test_what_the_server_denies_is_counted(running: Server, tmp_path: Path) -> None:
    errors = BusErrors()
    nc = await connect(settings_for(running, tmp_path), "answers", errors)
    await nc.publish("command.answers.order.o1.PlaceOrder", b"")
    await nc.flush()
    assert errors.counts == {"denied": 1}
    await nc.close()


async def test_a_user_without_a_password_is_named(server: Server, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="mallory"):
        await connect(settings_for(server, tmp_path), "mallory")
