"""What a command said in clear leaves nats-server's files; keys are destroyed only by who may, and stay destroyed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import urlsplit
from uuid import uuid4

import asyncpg
import pytest
import pytest_asyncio
from click.testing import CliRunner, Result
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.bus.provision import COMMANDS, provision_streams
from common.config import Settings
from common.erasure import FILLERS, MayNotErase, destroy_key, find, swept
from common.servers.files import free_port
from common.shell.vault import MissingKey, Vault
from common.store.migrate import KEYS_SCHEMA, migrate_schema
from common.store.pool import open_pool
from contexts.customer.events import CustomerRegistered
from contexts.product.events import ProductAdded
from gateway.cli import daybook
from tests.bus.server import Server
from tests.scenario import fingerprint_of

SECRET = b"Ada Miller, 12 Elm Street"
CONTEXT = "jars"


class Stream:
    """A command stream with its files."""

    def __init__(self, nc: Client, folder: Path) -> None:
        self.nc, self.folder = nc, folder

    async def send(self, key: str, body: bytes) -> int:
        ack = await self.nc.jetstream().publish(f"command.alice.{CONTEXT}.{key}.OpenJar", body)
        return ack.seq

    async def settle(self, key: str, through: int) -> None:
        """As a worker does that has decided the commands to this key."""
        for subject in (f"work.{CONTEXT}.*.*.{key}.*", f"command.*.{CONTEXT}.>"):
            await ask_jetstream(self.nc, f"STREAM.PURGE.{COMMANDS}", {"filter": subject, "seq": through + 1})

    async def last(self) -> int:
        last: int = (await ask_jetstream(self.nc, f"STREAM.INFO.{COMMANDS}", {}))["state"]["last_seq"]
        return last

    async def messages(self) -> int:
        count: int = (await ask_jetstream(self.nc, f"STREAM.INFO.{COMMANDS}", {}))["state"]["messages"]
        return count

    def holds(self, text: bytes) -> list[str]:
        """The files that hold the text. One that vanishes while it is looked at holds nothing."""
        found = []
        for path in self.folder.rglob("*"):
            try:
                if path.is_file() and text in path.read_bytes():
                    found.append(path.name)
            except FileNotFoundError:
                continue
        return found


@pytest_asyncio.fixture
async def stream(tmp_path: Path) -> AsyncIterator[Stream]:
    server = Server(tmp_path)
    await server.start()
    nc = await server.connect()
    await provision_streams(nc, [CONTEXT])
    yield Stream(nc, tmp_path / "store")
    await nc.close()
    await server.kill()


async def test_purging_alone_leaves_the_words_in_the_file_and_sweeping_removes_them(stream: Stream) -> None:
    secret = await stream.send("a", SECRET)
    await stream.send("b", b"still waits")
    await stream.settle("a", secret)
    assert stream.holds(SECRET)
    sweeping = asyncio.create_task(swept(stream.nc, CONTEXT, 20))
    sent, settled = [], 0
    while not sweeping.done():  # New commands keep coming in, and are settled up to the first ones after the filling.
        sent.append(await stream.send("c", b"newer"))
        if settled <= FILLERS:
            settled = await stream.last()
        await stream.settle("b", settled)
        await stream.settle("c", settled)
    assert await sweeping is True
    assert stream.holds(SECRET) == []
    assert await stream.messages() == sum(sequence > settled for sequence in sent)


async def test_a_command_that_is_still_undecided_is_told_of_and_kept(stream: Stream) -> None:
    await stream.send("a", SECRET)
    assert await swept(stream.nc, CONTEXT, 0.5) is False
    assert stream.holds(SECRET)


@pytest_asyncio.fixture
async def person(settings: Settings) -> AsyncIterator[str]:
    """Somebody of whom something personal was recorded."""
    await migrate_schema(settings.keys_dsn(), "keys", KEYS_SCHEMA)
    pool, name = await open_pool(settings.keys_dsn(), "writer", 2), f"ada-{uuid4().hex}"
    await Vault(pool, [CustomerRegistered]).make([name])
    yield name
    await pool.close()


async def test_a_destroyed_key_stays_destroyed_and_stands_in_no_file_of_the_table(
    settings: Settings, person: str
) -> None:
    assert (before := await find(settings.keys_dsn(), person)) and before.destroyed_at is None
    connection = await asyncpg.connect(settings.keys_dsn())
    key = await connection.fetchval("SELECT key FROM keys.personal_keys WHERE person = $1", person)
    gone = await destroy_key(settings.keys_dsn(), person)
    assert gone and gone.destroyed_at
    assert await destroy_key(settings.keys_dsn(), person) == await find(settings.keys_dsn(), person) == gone
    assert await connection.fetchval("SELECT key IS NULL FROM keys.personal_keys WHERE person = $1", person)
    await connection.execute("CHECKPOINT")
    file = await connection.fetchval("SELECT pg_relation_filepath('keys.personal_keys')")
    folder = Path(await connection.fetchval("SHOW data_directory"))
    assert person.encode() in (folder / file).read_bytes()
    assert key not in (folder / file).read_bytes()
    await connection.close()


async def test_of_others_every_key_stays(settings: Settings, person: str) -> None:
    connection = await asyncpg.connect(settings.keys_dsn())
    await connection.execute("INSERT INTO keys.personal_keys (person, key) VALUES ($1, $2)", f"{person}-2", b"k")
    await destroy_key(settings.keys_dsn(), person)
    assert await connection.fetchval("SELECT key FROM keys.personal_keys WHERE person = $1", f"{person}-2") == b"k"
    await connection.close()


async def test_of_a_stranger_there_is_nothing_to_destroy(settings: Settings, person: str) -> None:
    assert await find(settings.keys_dsn(), "stranger") is None
    assert await destroy_key(settings.keys_dsn(), "stranger") is None


async def test_a_login_without_the_right_destroys_nothing(settings: Settings, person: str) -> None:
    connection = await asyncpg.connect(settings.keys_dsn())
    await connection.execute("CREATE ROLE passer_by LOGIN PASSWORD 'passing'; GRANT daybook_writer TO passer_by")
    address = urlsplit(settings.keys_dsn())
    host = address.netloc.rpartition("@")[2]
    with pytest.raises(MayNotErase, match="may not destroy keys"):
        await destroy_key(address._replace(netloc=f"passer_by:passing@{host}").geturl(), person)
    assert await connection.fetchval("SELECT key FROM keys.personal_keys WHERE person = $1", person)
    await connection.execute("DROP OWNED BY passer_by; DROP ROLE passer_by")
    await connection.close()


def erased(settings: Settings, person: str, **variables: str) -> Result:
    """`daybook erase` on servers that the environment names."""
    env = {
        "DAYBOOK_KEYS_DSN": settings.keys_dsn(),
        "DAYBOOK_NATS_URL": f"nats://127.0.0.1:{free_port()}",
        "DAYBOOK_DATA": str(settings.data),
    }
    return CliRunner().invoke(daybook, ["erase", person, "--yes"], env=env | variables)


def test_without_the_bus_the_key_is_destroyed_and_what_is_left_is_said(
    settings: Settings, person: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.cli.erase.CONNECT_WITHIN_S", 0.5)
    done = erased(settings, person)
    assert done.exit_code == 1
    assert f"The key of {person} is destroyed" in done.stdout
    assert "may still lie in nats-server's files in plain words" in done.stderr
    assert (found := asyncio.run(find(settings.keys_dsn(), person))) and found.destroyed_at


def test_without_the_keys_it_is_one_line(settings: Settings, person: str) -> None:
    done = erased(settings, person, DAYBOOK_KEYS_DSN=f"postgresql://127.0.0.1:{free_port()}/keys")
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert done.stderr.startswith("Error: the database of DAYBOOK_KEYS_DSN: ")


async def test_everybody_takes_fingerprints_under_the_same_secret(settings: Settings, person: str) -> None:
    pool = await open_pool(settings.keys_dsn(), "writer", 2)
    one, other = (Vault(pool, [CustomerRegistered]) for _ in range(2))
    ours, theirs = await asyncio.gather(one.fingerprint(), other.fingerprint())
    assert ours("ada@example.org") == theirs(" ADA@example.org") != ours("ben@example.org")
    assert ours("ada@example.org") != fingerprint_of("ada@example.org")
    await pool.close()


async def test_a_context_that_records_nothing_personal_takes_none(settings: Settings) -> None:
    fingerprint = await Vault(None, [ProductAdded]).fingerprint()
    with pytest.raises(LookupError):
        fingerprint("ada@example.org")


async def test_commands_that_are_about_nobody_ask_for_no_keys() -> None:
    keys = await Vault(None, [CustomerRegistered]).find(["", ""])
    with pytest.raises(MissingKey):
        keys.seal_bytes("", b"nothing personal")
