"""`daybook rebuild` says in one line what keeps it from building. That it builds, tests/integration shows."""

import asyncio
from pathlib import Path

import pytest
from click.testing import CliRunner

from common.bus.api import ApiError, ask_jetstream
from common.bus.bucket import Bucket
from common.bus.connect import connect
from common.config import Settings
from common.servers.embedded import child_environment
from gateway.cli.rebuild import rebuild
from projectors.order_status import BUCKET as STATUS


@pytest.fixture(autouse=True)
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("DAYBOOK_DATA", str(tmp_path))
    monkeypatch.delenv("DAYBOOK_READ_DSN", raising=False)


def test_a_model_that_is_not_there_is_refused_and_those_that_are_are_named() -> None:
    result = CliRunner().invoke(rebuild, ["nonsense"])
    assert result.exit_code == 1
    assert "there is no read model named nonsense; there are" in result.output
    assert "orders" in result.output
    assert "order-status" in result.output


def test_without_a_bus_no_bucket_is_filled_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("DAYBOOK_NATS_URL", raising=False)
    result = CliRunner().invoke(rebuild, ["order-status"])
    assert (result.exit_code, "DAYBOOK_NATS_URL is not set" in result.output) == (1, True)


async def test_a_bucket_that_cannot_be_made_anew_is_said_in_one_line_and_one_that_is_lost_is_made(
    provisioned: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in child_environment(provisioned).items():
        monkeypatch.setenv(name, value)
    nc = await connect(provisioned, "admin")
    with monkeypatch.context() as odd:
        odd.setattr(Bucket, "config", {**STATUS.config, "max_bytes": "much"})
        refused = await asyncio.to_thread(CliRunner().invoke, rebuild, ["order-status"])
    with pytest.raises(ApiError):
        await ask_jetstream(nc, f"STREAM.INFO.{STATUS.stream}", {})  # It is lost now.
    made = await asyncio.to_thread(CliRunner().invoke, rebuild, ["order-status"])
    await nc.close()
    assert (refused.exit_code, refused.output.count("\n")) == (1, 1)
    assert refused.output.startswith("Error: the bucket order-status cannot be made anew: invalid JSON")
    assert (made.exit_code, "order-status is filled anew" in made.output) == (0, True)


def test_without_a_read_database_it_says_so() -> None:
    result = CliRunner().invoke(rebuild, ["orders"])
    assert (result.exit_code, result.output) == (
        1,
        "Error: no database is known that it is in: is the system up? (DAYBOOK_READ_DSN)\n",
    )


def test_a_read_database_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAYBOOK_READ_DSN", "postgresql://nobody@127.0.0.1:1/nothing")
    result = CliRunner().invoke(rebuild, ["orders"])
    assert result.exit_code == 1
    assert result.output.startswith("Error: the database of orders: ")
