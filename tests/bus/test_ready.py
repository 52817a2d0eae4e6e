"""Servers are made ready once, again, and by several at once; what stands in the way is one clear line."""

import asyncio
import os
import sys

import asyncpg
import msgspec
import pytest

from common.bus.api import ask_jetstream
from common.bus.connect import connect
from common.bus.provision import ProvisionError
from common.config import PROJECT, ConfigError, Settings
from common.discovery import buckets, contexts, read_models, tables
from common.provision import provision, provision_bus
from common.servers.embedded import child_environment
from common.servers.files import free_port


async def run_alone(settings: Settings, **changes: str) -> tuple[int, str]:
    """`python -m common.provision` in a process of its own: exit code and what it says."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "common.provision",
        cwd=PROJECT, env=env | child_environment(settings) | changes,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said, _ = await process.communicate()
    return process.returncode or 0, said.decode()


async def test_provisioning_is_repeatable_also_by_several_at_once(provisioned: Settings) -> None:
    await asyncio.gather(*(provision(provisioned) for _ in range(3)))


async def test_it_runs_alone_and_says_nothing_when_all_is_well(provisioned: Settings) -> None:
    assert await run_alone(provisioned) == (0, "")


async def test_every_read_model_and_every_reference_has_its_table(provisioned: Settings) -> None:
    wanted = [(provisioned.read_dsn, f"read.{model.name}") for model in tables(read_models().values())]
    for name, context in contexts().items():
        if context.reference:
            wanted.append((provisioned.write_dsn(name), f"{name}.{context.reference.model.name}"))
    for dsn, table in wanted:
        connection = await asyncpg.connect(dsn)
        assert await connection.fetchval("SELECT to_regclass($1)", table), table
        await connection.close()


async def test_every_bucket_is_there(provisioned: Settings) -> None:
    nc = await connect(provisioned, "admin")
    for model in buckets(read_models().values()):
        found = await ask_jetstream(nc, f"STREAM.INFO.KV_{model.name}", {})
        assert found["config"]["max_msgs_per_subject"] == 1
    await nc.close()


async def test_a_database_that_is_away_is_one_line(provisioned: Settings) -> None:
    code, said = await run_alone(provisioned, DAYBOOK_READ_DSN=f"postgresql://nobody@127.0.0.1:{free_port()}/none")
    assert code == 1
    assert said.startswith("provision: the read database of DAYBOOK_READ_DSN cannot be used")
    assert said.count("\n") == 1


async def test_a_bus_that_is_away_is_one_line(provisioned: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("common.provision.NATS_WITHIN_S", 0.5)
    away = msgspec.structs.replace(provisioned, nats_url=f"nats://127.0.0.1:{free_port()}")
    with pytest.raises(ProvisionError, match="DAYBOOK_NATS_URL"):
        await provision_bus(away, ["order"])


async def test_a_missing_address_is_named(provisioned: Settings) -> None:
    with pytest.raises(ConfigError, match="DAYBOOK_READ_DSN"):
        await provision(msgspec.structs.replace(provisioned, read_dsn=""))
