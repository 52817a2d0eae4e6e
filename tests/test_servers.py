"""The embedded servers are durable, closed to strangers, and come back; what cannot work is said in one line."""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import asyncpg
import msgspec
import nats
import nats.errors
import pytest
from nats.aio.client import Client

import common.servers.postgres as postgres
from common.config import Settings
from common.questions import ON_THE_WAY_S
from common.servers.accounts import ANSWERED_WITHIN_S, NatsUser
from common.servers.embedded import child_environment, needs_write, start_servers
from common.servers.files import CannotStart, free_port
from common.servers.nats import nats_answers, nats_binary, nats_config
from common.servers.supervise import Supervisor
from common.shell.wish import LONGEST_WAIT_S
from gateway.cli.status import look, weaknesses
from tests.servers import TEST_USER, Servers, environment, running_servers, until


async def setting(dsn: str, name: str) -> str:
    connection = await asyncpg.connect(dsn)
    try:
        return str(await connection.fetchval("SELECT current_setting($1)", name))
    finally:
        await connection.close()


@pytest.mark.parametrize(("kind", "commit"), [("write", "on"), ("read", "off")])
async def test_durability_is_on_where_nothing_could_be_replayed(settings: Settings, kind: str, commit: str) -> None:
    dsn = settings.write_dsn("order") if kind == "write" else settings.read_dsn
    assert await setting(dsn, "fsync") == "on"
    assert await setting(dsn, "full_page_writes") == "on"
    assert await setting(dsn, "synchronous_commit") == commit
    assert await setting(dsn, "TimeZone") == "UTC"
    assert await setting(dsn, "idle_in_transaction_session_timeout") == "10s"
    assert await setting(dsn, "listen_addresses") == "127.0.0.1"


async def test_postgres_lets_nobody_in_without_the_password(settings: Settings, tmp_path: Path) -> None:
    bare = settings.read_dsn.partition("?")[0]
    with pytest.raises((asyncpg.InvalidPasswordError, asyncpg.InterfaceError)):
        await asyncpg.connect(bare, password="wrong")
    assert "password" not in settings.read_dsn
    assert stat.S_IMODE((settings.data / "pgpass").stat().st_mode) == 0o600


async def test_the_extensions_for_search_are_there(settings: Settings) -> None:
    connection = await asyncpg.connect(settings.read_dsn)
    try:
        query = "SELECT count(*) FROM pg_available_extensions WHERE name IN ('pg_trgm', 'unaccent')"
        assert await connection.fetchval(query) == 2
    finally:
        await connection.close()


def test_nats_syncs_every_message_and_denies_what_is_not_allowed() -> None:
    users = [NatsUser("shop", "$2b$05$x", ["command.shop.>"], []), NatsUser("gateway", "$2b$05$y", [">"], [">"])]
    config = msgspec.json.decode(nats_config(users, "/store", port=1234, monitor="127.0.0.1:8222"))
    assert config["jetstream"] == {"store_dir": "/store", "sync_interval": "always", "strict": True}
    assert config["listen"] == "127.0.0.1:1234"
    assert config["http"] == "127.0.0.1:8222"
    (ours,) = config["accounts"].values()
    assert ours["jetstream"] == "enabled"
    user, gateway = ours["users"]
    assert user["permissions"] == {"publish": {"allow": ["command.shop.>"]}, "subscribe": {"deny": [">"]}}
    assert gateway["permissions"] == {"publish": {"allow": [">"]}, "subscribe": {"allow": [">"]}}


def test_who_is_apart_has_an_account_to_themselves_that_imports_what_they_may_and_nothing_else() -> None:
    info, delete = "$JS.API.STREAM.INFO.KV_x", "$JS.API.CONSUMER.DELETE.KV_x.*"
    hears = ["receipt.shop.>", "_INBOX.shop.>"]
    users = [
        NatsUser("gateway", "$2b$05$x", [">"], [">"]),
        NatsUser("shop", "$2b$05$y", ["command.shop.Open", info, delete], hears, apart=True),
        NatsUser("mill", "$2b$05$z", ["command.mill.Grind"], ["receipt.mill.>"], apart=True),
    ]
    accounts = msgspec.json.decode(nats_config(users, "/store"))["accounts"]
    assert set(accounts) == {"DAYBOOK", "BUCKETS", "DAYBOOK-shop", "DAYBOOK-mill"}
    assert [each["user"] for each in accounts["DAYBOOK"]["users"]] == ["gateway"]
    assert accounts["DAYBOOK"]["exports"] == [
        {"service": "command.>", "response_threshold": "35s"},
        *({"stream": each} for each in ("_INBOX.>", "receipt.>")),
    ]
    shop = accounts["DAYBOOK-shop"]
    assert "jetstream" not in shop
    assert "exports" not in shop
    assert [each["user"] for each in shop["users"]] == ["shop"]
    (shown,) = (each["permissions"]["publish"]["allow"] for each in shop["users"])
    assert shown == ["command.shop.Open", "api.STREAM.INFO.KV_x", "api.CONSUMER.DELETE.KV_x.*"]
    assert shop["mappings"] == {info: "api.STREAM.INFO.KV_x", delete: "api.CONSUMER.DELETE.KV_x.{{wildcard(1)}}"}
    assert shop["imports"] == [
        {"service": {"account": "DAYBOOK", "subject": "command.shop.Open"}},
        {"service": {"account": "BUCKETS", "subject": info}, "to": "api.STREAM.INFO.KV_x"},
        {"service": {"account": "BUCKETS", "subject": delete}, "to": "api.CONSUMER.DELETE.KV_x.*"},
        *({"stream": {"account": "DAYBOOK", "subject": each}} for each in ("receipt.shop.>", "_INBOX.shop.>")),
        {"stream": {"account": "BUCKETS", "subject": "_INBOX.shop.>"}},
    ]
    assert all(each["stream"]["account"] == "DAYBOOK" for each in accounts["DAYBOOK-mill"]["imports"][1:])


def test_the_account_of_buckets_has_nobody_in_it_and_ours_imports_what_our_users_ask_of_them() -> None:
    create = "$JS.API.STREAM.CREATE.KV_x"
    users = [NatsUser("projectors", "$2b$05$x", ["beat.>", "$KV.x.>", create, "$JS.API.STREAM.INFO.EVENTS_door"], [])]
    accounts = msgspec.json.decode(nats_config(users, "/store"))["accounts"]
    assert accounts["BUCKETS"] == {
        "jetstream": "enabled",
        "exports": [{"service": each, "response_threshold": "35s"} for each in (create, "$KV.x.>")],
    }
    (projectors,) = accounts["DAYBOOK"]["users"]
    assert projectors["permissions"]["publish"]["allow"] == [
        *("beat.>", "$KV.x.>", "api.STREAM.CREATE.KV_x", "$JS.API.STREAM.INFO.EVENTS_door"),
    ]
    assert accounts["DAYBOOK"]["mappings"] == {create: "api.STREAM.CREATE.KV_x"}
    assert accounts["DAYBOOK"]["imports"] == [
        {"service": {"account": "BUCKETS", "subject": create}, "to": "api.STREAM.CREATE.KV_x"},
        {"service": {"account": "BUCKETS", "subject": "$KV.x.>"}},
    ]


def test_who_waits_for_a_query_is_remembered_for_longer() -> None:
    assert ANSWERED_WITHIN_S > LONGEST_WAIT_S + ON_THE_WAY_S


async def test_a_nats_user_needs_its_password(settings: Settings) -> None:
    stranger = Client()
    with pytest.raises(nats.errors.Error, match="Authorization Violation"):
        await stranger.connect(settings.nats_url, user=TEST_USER, password="wrong", allow_reconnect=False)
    await stranger.close()
    left_open: Any = stranger._transport  # By nats-py, whenever a login is refused.
    left_open.close()
    with suppress(ConnectionError):
        await left_open.wait_closed()
    connection = await nats.connect(settings.nats_url, user=TEST_USER, password=settings.password(TEST_USER))
    try:
        assert (await connection.jetstream().account_info()).streams >= 0
    finally:
        await connection.close()


@pytest.fixture
def everyone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """NATS users for tests of the servers alone: `test`, who may do everything, and `shop`, who may hardly."""

    def users(settings: Settings, credentials: SimpleNamespace) -> list[NatsUser]:
        from common.principals import hash_password

        test = NatsUser(TEST_USER, hash_password(credentials.nats[TEST_USER]), [">"], [">"])
        return [test, NatsUser("shop", hash_password("shop"), ["command.shop.>"], ["_INBOX.shop.>"])]

    monkeypatch.setattr("tests.servers.nats_users", users)
    yield


@pytest.mark.usefixtures("everyone")
async def test_permissions_hold(data: Path) -> None:
    refused: list[str] = []

    async def note(error: Exception) -> None:
        refused.append(str(error))

    async with running_servers(data, []) as servers:
        connection = await nats.connect(servers.settings.nats_url, user="shop", password="shop", error_cb=note)
        await connection.publish("command.shop.order.1.PlaceOrder", b"")
        await connection.flush()
        assert not refused
        await connection.publish("command.other.order.1.PlaceOrder", b"")
        await connection.subscribe("event.>")
        await until(lambda: len(refused) == 2)
        await connection.close()


async def rows(dsn: str) -> int:
    connection = await asyncpg.connect(dsn)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM kept"))
    finally:
        await connection.close()


async def make_row(dsn: str) -> None:
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute("CREATE TABLE IF NOT EXISTS kept (n int)")
        await connection.execute("INSERT INTO kept VALUES (1)")
    finally:
        await connection.close()


async def make_message(settings: Settings) -> int:
    """Store a message in a stream made for it; how many there are then."""
    connection = await nats.connect(settings.nats_url, user=TEST_USER, password=settings.password(TEST_USER))
    try:
        stream = connection.jetstream()
        await stream.add_stream(name="KEPT", subjects=["kept"])
        return (await stream.publish("kept", b"1")).seq
    finally:
        await connection.close()


async def kill_and_delete(servers: Servers, folder: Path) -> None:
    old = servers.supervisor.pids[folder.name]
    os.kill(old, 9)
    shutil.rmtree(folder, ignore_errors=True)
    await until(lambda: servers.supervisor.pids[folder.name] != old)


async def kill(servers: Servers, name: str) -> None:
    old = servers.supervisor.pids[name]
    os.kill(old, 9)
    await until(lambda: servers.supervisor.pids[name] != old)


@pytest.mark.usefixtures("everyone")
async def test_data_outlives_kill_and_restart(data: Path) -> None:
    async with running_servers(data, []) as servers:
        settings = servers.settings
        for round_ in (1, 2):
            for name, dsn in (("postgres-write", settings.default_write_dsn), ("postgres-read", settings.read_dsn)):
                await make_row(dsn)
                await kill(servers, name)
                await until(lambda dsn=dsn: postgres.postgres_answers(dsn))  # type: ignore[misc]
            assert await make_message(settings) == round_
            await kill(servers, "nats")
            await until(lambda: nats_answers("127.0.0.1", settings.nats_port))
        assert await rows(settings.default_write_dsn) == 2
    async with running_servers(data, []) as servers:
        assert await rows(servers.settings.default_write_dsn) == 2
        assert await make_message(servers.settings) == 3


@pytest.mark.usefixtures("everyone")
async def test_a_read_server_that_lost_its_folder_is_made_again_and_a_write_server_never_is(data: Path) -> None:
    async with running_servers(data, []) as servers:
        await make_row(servers.settings.read_dsn)
        await kill_and_delete(servers, data / "postgres-read")
        await until(lambda: postgres.postgres_answers(servers.settings.read_dsn))
        with pytest.raises(asyncpg.UndefinedTableError):
            await rows(servers.settings.read_dsn)
        (data / "postgres-write").rename(data / "elsewhere")
        os.kill(servers.supervisor.pids["postgres-write"], 9)
        log = data / "logs" / "postgres-write.log"
        await until(lambda: "No such file" in log.read_text())
        assert not (data / "postgres-write").exists()


@pytest.mark.usefixtures("everyone")
async def test_a_stale_pid_file_does_not_keep_postgres_from_starting(data: Path) -> None:
    async with running_servers(data, []):
        pass
    stale = data / "postgres-write" / "postmaster.pid"
    stale.write_text(f"{os.getpid()}\n")
    shutil.copystat(data / "postgres-write" / "PG_VERSION", stale)
    async with running_servers(data, []) as servers:
        assert await postgres.postgres_answers(servers.settings.default_write_dsn)


async def test_a_database_without_its_password_is_named(data: Path) -> None:
    (data / "postgres-write").mkdir(parents=True)
    (data / "postgres-write" / "PG_VERSION").touch()
    with pytest.raises(CannotStart, match="pgpass is missing"):
        await postgres.postgres_child(data, "write", free_port())


async def test_a_postgres_that_still_runs_there_is_waited_for_and_named(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "GONE_WITHIN", 1)
    child = await postgres.postgres_child(servers.settings.data, "write", free_port())
    assert child.before is not None
    with pytest.raises(CannotStart, match=r"another Postgres, process [0-9]+, still runs on"):
        await child.before()


async def test_a_taken_nats_port_is_named(data: Path, servers: Servers) -> None:
    env = environment(data) | {"DAYBOOK_NATS_PORT": str(servers.settings.nats_port)}
    with pytest.raises(CannotStart, match="DAYBOOK_NATS_PORT"):
        try:
            await start_servers(Supervisor(data, print), Settings.from_env(env, running=False), [], [])
        except* CannotStart as group:
            raise group.exceptions[0] from None


def test_external_servers_are_not_started_by_us() -> None:
    dsn = "postgresql://db/daybook"
    assert needs_write(Settings.from_env({}, running=False), ["order"])
    assert not needs_write(Settings.from_env({"DAYBOOK_WRITE_DSN": dsn}, running=False), ["order"])
    own = {"DAYBOOK_WRITE_DSN_ORDER": dsn}
    assert needs_write(Settings.from_env(own, running=False), ["order"])
    assert not needs_write(Settings.from_env(own | {"DAYBOOK_KEYS_DSN": dsn}, running=False), ["order"])
    assert needs_write(Settings.from_env(own | {"DAYBOOK_KEYS_DSN": dsn}, running=False), ["order", "product"])


async def test_with_all_servers_named_nothing_is_started(data: Path) -> None:
    dsn = "postgresql://db/daybook"
    env = {"DAYBOOK_NATS_URL": "nats://n:1", "DAYBOOK_WRITE_DSN": dsn, "DAYBOOK_READ_DSN": dsn}
    settings = Settings.from_env(env | {"DAYBOOK_DATA": str(data)}, running=False)
    supervisor = Supervisor(data, print)
    assert await start_servers(supervisor, settings, [], ["order"]) == settings
    assert not supervisor.pids
    assert child_environment(settings).items() >= env.items()


def test_the_programs_are_found() -> None:
    assert os.access(nats_binary(), os.X_OK)
    assert os.access(postgres.postgres_programs() / "postgres", os.X_OK)


def test_weaker_durability_of_an_external_server_is_said() -> None:
    assert weaknesses("DAYBOOK_WRITE_DSN", True, "on", "on", "on") == []
    assert weaknesses("DAYBOOK_READ_DSN", False, "on", "on", "off") == []
    assert "fsync is off" in weaknesses("DAYBOOK_READ_DSN", False, "off", "on", "off")[0]
    (line,) = weaknesses("DAYBOOK_WRITE_DSN", True, "on", "on", "off")
    assert line == "DAYBOOK_WRITE_DSN: synchronous_commit is off; a crash can lose what was acknowledged"


async def test_status_tells_what_answers_and_warns(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYBOOK_NATS_URL", settings.nats_url)
    weak = msgspec.structs.replace(settings, default_write_dsn=settings.read_dsn, http_port=free_port())
    found = await look(weak)
    assert {part.name: part.answers for part in found.parts} == {
        "nats": True, "postgres-write": True, "postgres-read": True, "gateway": False
    }  # fmt: skip
    assert any("synchronous_commit is off" in line for line in found.warnings)
    assert any("sync_interval" in line for line in found.warnings)
