"""JetStream's atomic batches alone: what the broker holds before anybody decides anything.

The gateway's own `Batches` with ready bytes, into a stream as the commands have it, synced to disk before each answer.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import count, cycle
from pathlib import Path
from time import perf_counter

import nats
from nats.aio.client import Client

from common.bus.api import ask_jetstream
from common.bus.batches import Batches
from common.bus.provision import COMMANDS, commands_config, provision_stream
from common.principals import hash_password
from common.recorded import COMMAND_ID_HEADER, VERSION, VERSION_HEADER
from common.servers.accounts import NatsUser
from common.servers.files import free_port
from common.servers.nats import nats_child
from common.servers.staging import stage_in_memory, unstage
from common.subjects import command_subject
from tests.load.closed_loop import Run
from tests.load.measure import Load, Running
from tests.load.rivals.placing import PRINCIPAL
from tests.load.rivals.system import Sample, System, supervised

USER, PASSWORD = "test", "secret-of-the-bench"
TOGETHER = 1024
"""Messages that wait at the same time, as in the load by NATS: so a batch is as large as it may be."""


@asynccontextmanager
async def jetstream(data: Path, sample: Sample) -> AsyncIterator[Running]:
    async with supervised(data) as supervisor:
        user = NatsUser(USER, hash_password(PASSWORD), [">"], [">"])
        await supervisor.start(nats_child(data, [user], port := free_port()))
        url = f"nats://127.0.0.1:{port}"
        nc = await connected(url)
        await provision_stream(nc, commands_config(["order"]))
        stage_in_memory(data, COMMANDS)

        async def kept() -> int:
            state = (await ask_jetstream(nc, f"STREAM.INFO.{COMMANDS}", {}))["state"]
            return int(state["last_seq"])

        yield Running(dict(supervisor.pids), {"jetstream": publishing(url, sample)}, kept)
        await ask_jetstream(nc, f"STREAM.DELETE.{COMMANDS}", {})  # It is bounded: each round has a new one.
        await nc.close()
    unstage(data)


async def connected(url: str) -> Client:
    return await nats.connect(url, user=USER, password=PASSWORD)


def publishing(url: str, sample: Sample) -> Load:
    async def load(seconds: float) -> Run:
        nc = await connected(url)
        batches, bodies, numbers, stored = Batches(nc), cycle(sample.bodies), count(), 0
        begun = perf_counter()

        async def some() -> None:
            nonlocal stored
            over = False
            while not over:
                key = f"o{next(numbers)}"
                subject = command_subject(PRINCIPAL, "order", key, "PlaceOrder")
                await batches.publish(subject, {VERSION_HEADER: VERSION, COMMAND_ID_HEADER: key}, next(bodies))
                stored += 1
                over = perf_counter() > begun + seconds

        await asyncio.gather(*(some() for _ in range(TOGETHER)))
        await nc.close()
        return Run(perf_counter() - begun, {202: stored}, [])

    return load


JETSTREAM = System(
    name="jetstream",
    paths={"jetstream": "JetStream batches alone"},
    differs="less: the broker alone; nothing is decided, recorded or read",
    run=jetstream,
)
