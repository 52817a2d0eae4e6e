"""The projectors' process: it answers what it has projected, waits for what is away, and ends when it is told to."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg
import msgspec
import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg

from common.bus.connect import connect
from common.config import PROJECT, Settings
from common.discovery import read_models
from common.recorded import STATUS_HEADER
from common.servers.embedded import child_environment
from common.servers.files import free_port
from common.shell.follower import ModelBeat
from tests.servers import until


@asynccontextmanager
async def projectors(settings: Settings, log: Path, *names: str) -> AsyncIterator[asyncio.subprocess.Process]:
    env = {"PATH": os.environ["PATH"], "PYTHONPATH": str(PROJECT), **child_environment(settings)}
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "projectors", *names, env=env, stdout=output, stderr=output
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def ended(process: asyncio.subprocess.Process) -> int:
    process.send_signal(signal.SIGTERM)
    return await asyncio.wait_for(process.wait(), 10)


async def test_it_answers_queries_over_nats_and_ends_on_sigterm(provisioned: Settings, tmp_path: Path) -> None:
    gateway, log = await connect(provisioned, "gateway"), tmp_path / "log"
    async with projectors(provisioned, log) as process:
        await until(lambda: answers(gateway))
        assert await ended(process) == 0
    assert "Traceback" not in log.read_text()
    await gateway.close()


async def answers(gateway: Client) -> bool:
    try:
        reply = await gateway.request("query.operator.ListProducts", b'{"q":"no such thing"}', timeout=1)
    except (nats.errors.NoRespondersError, nats.errors.TimeoutError):
        return False
    assert reply.headers is not None
    assert (reply.headers[STATUS_HEADER], msgspec.json.decode(reply.data)["products"]) == ("200", [])
    return reply.headers["Daybook-Position"].startswith("product=")


async def test_alone_a_model_has_the_tables_that_it_is_read_with(provisioned: Settings, tmp_path: Path) -> None:
    owner = await asyncpg.connect(provisioned.read_dsn)
    await owner.execute("DROP TABLE read.catalogue_words")
    await owner.close()
    gateway = await connect(provisioned, "gateway")
    async with projectors(provisioned, tmp_path / "log", "products") as process:
        await until(lambda: answers(gateway))
        assert await ended(process) == 0
    await gateway.close()


async def test_it_waits_for_a_read_database_and_a_bus_that_are_away(provisioned: Settings, tmp_path: Path) -> None:
    away = msgspec.structs.replace(
        provisioned,
        read_dsn=f"postgresql://daybook@127.0.0.1:{free_port()}/daybook",
        nats_url=f"nats://127.0.0.1:{free_port()}",
    )
    log = tmp_path / "log"
    async with projectors(away, log) as process:
        await until(lambda: "does not answer" in log.read_text())
        assert process.returncode is None
        assert await ended(process) == 0


async def test_while_its_database_is_away_it_beats_with_the_reason(provisioned: Settings, tmp_path: Path) -> None:
    away = msgspec.structs.replace(provisioned, read_dsn=f"postgresql://daybook@127.0.0.1:{free_port()}/daybook")
    heard: list[ModelBeat] = []

    async def hear(message: Msg) -> None:
        heard.append(msgspec.json.decode(message.data, type=ModelBeat))

    gateway = await connect(provisioned, "gateway")
    await gateway.subscribe("beat.projector.orders", cb=hear)
    async with projectors(away, tmp_path / "log") as process:
        await until(lambda: any(beat.state == "red" and beat.pid == process.pid for beat in heard))
        assert (heard[-1].position, "Connect" in heard[-1].error) == (None, True)
        assert await ended(process) == 0
    await gateway.close()


async def test_an_unknown_read_model_is_said_in_one_line(provisioned: Settings, tmp_path: Path) -> None:
    log = tmp_path / "log"
    async with projectors(provisioned, log, "nonsense") as process:
        assert await asyncio.wait_for(process.wait(), 10) == 1
    there = ", ".join(read_models())
    assert log.read_text().strip() == f"projectors: there is no read model named nonsense; there are {there}"
