"""A real server with the users as they are generated: two principals, one who may watch, and three contexts."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import msgspec
import pytest
import pytest_asyncio
from msgspec import Struct
from nats.aio.client import Client

from common.bucketmodel import BucketModel
from common.bus.bucket import Bucket
from common.bus.connect import BusErrors
from common.bus.permissions import nats_users
from common.bus.provision import provision_streams
from common.messages import Command
from common.principals import Entry, hash_password
from tests.bus.server import Server


class Open(Command, key="door", post="/doors/{door}/open", roles={"guest"}):
    door: str


class Lock(Command, key="door", post="/doors/{door}/lock", roles={"keeper"}):
    door: str


class RecordAlarm(Command, key="door"):
    """Taken from reactions only: it has no route."""

    door: str


COMMANDS_OF = {"door": (Open, Lock, RecordAlarm), "bell": (), "lamp": ()}
OWN = ("admin", "gateway", "answers", "projectors", "context-door", "context-bell", "context-lamp")
OPEN = "command.alice.door.d1.Open"


class Standing(Struct):
    """Whether a door is open."""

    door: str
    version: int = 0
    position: int = 0


MODEL = BucketModel(name="door-state", value=Standing, key="door", follows={"door": ()}, apply=lambda *_: None)
BUCKET, OTHER = Bucket(MODEL), Bucket(msgspec.structs.replace(MODEL, name="bell-state"))
"""Who may watch may watch the first, and nobody the other."""

Connect = Callable[[str], Awaitable["User"]]


class User:
    """A connection and what the server has told it that it may not do."""

    def __init__(self, nc: Client, errors: BusErrors) -> None:
        self.nc, self.errors = nc, errors

    async def may_publish(self, subject: str, reply: str = "") -> bool:
        """Publishes; whether the server took it."""
        before = self.errors.counts["denied"]
        await self.nc.publish(subject, b"", reply=reply)
        await self.nc.flush()
        return self.errors.counts["denied"] == before

    async def may_subscribe(self, subject: str) -> bool:
        before = self.errors.counts["denied"]
        await self.nc.subscribe(subject)
        await self.nc.flush()
        return self.errors.counts["denied"] == before


@pytest_asyncio.fixture(scope="module")
async def doors(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Server]:
    """A server with two principals and two contexts; every password is the user's name."""
    entries = [
        Entry(name, roles, "", hash_password(name))
        for name, roles in (("alice", ["guest"]), ("bob", ["keeper"]), ("carol", ["watch"]))
    ]
    hashes = {user: hash_password(user) for user in OWN}
    server = Server(
        tmp_path_factory.mktemp("doors"),
        nats_users(entries, COMMANDS_OF, ["FindDoor"], hashes, {"door": ["bell"]}, [MODEL.name]),
    )
    await server.start()
    async with user(server, "admin") as admin:
        await provision_streams(admin.nc, sorted(COMMANDS_OF), [BUCKET.config, OTHER.config])
    yield server
    await server.kill()


@pytest_asyncio.fixture
async def as_user(doors: Server) -> AsyncIterator[Connect]:
    """Connects as a user of this name."""
    made: list[User] = []

    async def connect(name: str) -> User:
        made.append(await log_in(doors, name))
        return made[-1]

    yield connect
    for each in made:
        await each.nc.close()


@asynccontextmanager
async def user(server: Server, name: str) -> AsyncIterator[User]:
    found = await log_in(server, name)
    yield found
    await found.nc.close()


async def log_in(server: Server, name: str) -> User:
    errors = BusErrors()
    return User(await server.connect(name, error_cb=errors.note), errors)
