"""The feed hands on every stored command in order, from where the leases say, whoever died before (P2)."""

import asyncio
from collections.abc import AsyncIterator

import pytest_asyncio
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.bus.provision import COMMANDS, provision_streams
from common.recorded import COMMAND_ID_HEADER, VERSION, VERSION_HEADER
from common.shell.feed import Feed, partitions
from common.shell.lease import LeaseKeeper
from tests.servers import until
from tests.shell.conftest import Desk

BATCH = 64


class Commands:
    """The command stream, with our context among those it takes."""

    def __init__(self, desk: Desk, nc: Client) -> None:
        self.desk, self.nc, self.sent = desk, nc, 0

    async def send(self, key: str, kind: str = "LendBook", body: bytes = b'{"reader":"ann"}') -> str:
        """The id of a command that is now stored."""
        self.sent += 1
        command_id = f"c{self.sent}"
        headers = {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: command_id}
        subject = f"command.alice.{self.desk.name}.{key}.{kind}"
        await self.nc.jetstream().publish(subject, body, headers=headers)
        return command_id

    async def stored(self) -> int:
        """How many commands of our context the stream holds."""
        found = 0
        for subjects in (f"work.{self.desk.name}.>", f"command.*.{self.desk.name}.>"):
            info = await ask_jetstream(self.nc, f"STREAM.INFO.{COMMANDS}", {"subjects_filter": subjects})
            found += sum((info["state"].get("subjects") or {}).values())
        return found

    async def settled(self, number: int) -> None:
        async def enough() -> bool:
            return await self.desk.count("receipts") >= number

        await until(enough, what=f"{number} receipts")


@pytest_asyncio.fixture
async def commands(desk: Desk, nc: Client) -> AsyncIterator[Commands]:
    try:
        found = (await ask_jetstream(nc, f"STREAM.INFO.{COMMANDS}", {}))["config"]["subjects"]
    except Exception:
        found = []
    await provision_streams(nc, [*(subject.split(".")[2] for subject in found), desk.name])
    yield Commands(desk, nc)


class Running:
    """A feed at work until the block ends: then it is cancelled and, as if the process died, gives nothing back."""

    def __init__(self, commands: Commands, leases: LeaseKeeper) -> None:
        desk = commands.desk
        self.worker = desk.make_worker(leases)
        self.feed = Feed(commands.nc, desk.name, self.worker, leases, desk.table, BATCH)

    async def __aenter__(self) -> "Running":
        self._task = asyncio.create_task(self.feed.run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)


async def successor(desk: Desk) -> LeaseKeeper:
    """Takes over from an owner that has said nothing."""
    leases = LeaseKeeper(desk.table, "second", partitions(), 0.05)
    await until(lambda: takes_over(leases), what="the takeover")
    return leases


async def takes_over(leases: LeaseKeeper) -> bool:
    await leases.keep()
    return bool(leases.held)


async def test_commands_of_a_key_are_settled_in_the_order_they_were_stored(commands: Commands) -> None:
    for i in range(30):
        lends = i // 3 % 2 == 0
        await commands.send(f"b{i % 3}", "LendBook" if lends else "ReturnBook", b'{"reader":"ann"}' if lends else b"{}")
    async with Running(commands, commands.desk.leases):
        await commands.settled(30)
    assert await commands.desk.count("events") == 30
    for key in ("b0", "b1", "b2"):
        types = [e.type for e in await commands.desk.reader.stream(key, 0, 100)]
        assert types == ["BookLent", "BookReturned"] * 5


async def test_a_successor_goes_on_where_the_leases_say_and_settles_nothing_twice(commands: Commands) -> None:
    desk = commands.desk
    for i in range(20):
        await commands.send(f"b{i}")
    async with Running(commands, desk.leases):
        await commands.settled(20)
    for i in range(20, 40):
        await commands.send(f"b{i}")
    async with Running(commands, await successor(desk)) as second:
        await commands.settled(40)
        assert second.worker.tally.repeated == 0
    assert await desk.count("events") == 40


async def test_what_a_dead_worker_had_in_hand_is_settled_by_its_successor_one_by_one(commands: Commands) -> None:
    desk = commands.desk
    for i in range(10):
        await commands.send(f"b{i}")
    blocker = desk.login.transaction()
    await blocker.start()
    await desk.login.execute(f'SELECT FROM "{desk.name}".head FOR UPDATE')
    async with Running(commands, desk.leases):

        async def stuck() -> bool:
            waiting: int = await desk.owner.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted")
            return waiting > 0

        await until(stuck, what="the append to wait")
    await blocker.rollback()
    async with Running(commands, await successor(desk)) as second:
        await commands.settled(10)
        assert second.worker.tally.batches == 10
        await commands.send("b10")
        await commands.settled(11)
    assert await desk.count("events") == await desk.count("receipts") == 11


async def test_strays_get_a_refusal_and_hold_nobody_back(commands: Commands) -> None:
    odd = [await commands.send("*"), await commands.send(">"), await commands.send("b1.b2")]
    fine = await commands.send("b1")
    async with Running(commands, commands.desk.leases):
        await commands.settled(4)
    receipts = await commands.desk.reader.receipts("alice", [*odd, fine])
    assert [receipts[name].state for name in (*odd, fine)] == ["rejected"] * 3 + ["accepted"]
    assert {receipts[name].code for name in odd} <= {"malformed", "unknown-command"}


async def test_a_servers_own_acknowledgement_that_was_steered_into_the_stream_is_dropped(commands: Commands) -> None:
    desk = commands.desk
    headers = {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: "mine"}
    await commands.nc.publish(
        f"command.alice.{desk.name}.b1.LendBook",
        b'{"reader":"ann"}',
        reply=f"command.bob.{desk.name}.b2.LendBook",
        headers=headers,
    )
    async with Running(commands, desk.leases) as running:
        await until(lambda: running.worker.tally.dropped == 1, what="the acknowledgement to be dropped")
        await commands.settled(1)
    assert [e.stream for e in await desk.reader.page(0, 10)] == ["b1"]
    assert await desk.count("receipts") == 1


async def test_settled_commands_leave_the_stream_and_undecided_ones_stay(commands: Commands) -> None:
    desk = commands.desk
    for i in range(25):
        await commands.send(f"b{i}")
    await commands.send("*")
    async with Running(commands, desk.leases) as running:
        await commands.settled(26)
    await commands.send("b99")
    for subject, done in running.feed._settled().items():
        await running.feed._purge(subject, done)
    assert await commands.stored() == 1


async def test_a_command_stream_made_anew_is_read_from_its_beginning(commands: Commands) -> None:
    """Its sequences begin again at 1, below the places that the leases remember."""
    desk = commands.desk
    for i in range(5):
        await commands.send(f"b{i}")
    async with Running(commands, desk.leases):
        await commands.settled(5)
    config = (await ask_jetstream(commands.nc, f"STREAM.INFO.{COMMANDS}", {}))["config"]
    await ask_jetstream(commands.nc, f"STREAM.DELETE.{COMMANDS}", {})
    await ask_jetstream(commands.nc, f"STREAM.CREATE.{COMMANDS}", config)
    again = await commands.send("b9")
    async with Running(commands, await successor(desk)):
        await commands.settled(6)
    assert (await desk.reader.receipts("alice", [again]))[again].state == "accepted"


async def test_a_lost_lease_stops_the_feed_until_it_is_held_again(commands: Commands) -> None:
    desk = commands.desk
    first = await commands.send("b1")
    async with Running(commands, desk.leases) as running:
        await commands.settled(1)
        taken = await desk.table.take("thief", await desk.table.all())
        await commands.send("b2")
        await until(lambda: not desk.leases.held, what="the loss to be noticed")
        assert await desk.count("receipts") == 1
        await desk.table.release({lease.name: lease.epoch for lease in taken})
        await desk.leases.keep()
        await commands.settled(2)
        assert running.worker.tally.accepted == 2
    assert (await desk.reader.receipts("alice", [first]))[first].state == "accepted"
