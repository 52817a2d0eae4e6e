"""`daybook rebuild` says in one line what keeps it from building. That it builds, tests/integration shows."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from gateway.cli.rebuild import rebuild


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
