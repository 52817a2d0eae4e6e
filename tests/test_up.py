"""`daybook up` as a person runs it: it starts, says what dies, brings it back, and stops cleanly."""

import asyncio
import signal
import sys
from pathlib import Path

import msgspec
import psutil
import pytest

from common.config import Settings
from common.principals import Credentials
from common.servers.files import data_folder
from gateway.cli import COMMANDS
from gateway.cli.up import context_names
from tests.servers import System, environment, running_system, until


async def daybook(data: Path, *words: str, **variables: str) -> tuple[int, str, str]:
    """Run the command; exit code, output and errors."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "gateway.cli",
        *words,
        env=environment(data) | variables,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    return process.returncode or 0, output.decode(), errors.decode()


def one_line(errors: str) -> str:
    """What was said, which must be one line of ours and no traceback."""
    (line,) = errors.splitlines()
    assert line.startswith("daybook: ")
    return line


async def test_it_shows_urls_and_keys_at_once(system: System) -> None:
    await until(lambda: "Ready after" in system.output.read_text())
    text = system.output.read_text()
    credentials = msgspec.json.decode(system.settings.credentials.read_bytes(), type=Credentials)
    for name in ("storefront", "operator"):
        assert credentials.api_keys[name] in text
        assert credentials.nats[name] in text
    assert system.url in text
    assert system.settings.nats_url in text
    assert text.index(system.url) < text.index("Ready after")


async def test_status_names_every_part(system: System) -> None:
    code, output, _ = await daybook(
        system.settings.data, "status", "--json", DAYBOOK_HTTP_PORT=str(system.settings.http_port)
    )
    found = msgspec.json.decode(output)
    assert {part["name"]: part["answers"] for part in found["parts"]} == dict.fromkeys(
        [
            "nats",
            "postgres-write",
            "postgres-read",
            "gateway",
            "projectors",
            *(f"context-{n}" for n in context_names()),
        ],
        True,
    )
    assert found["warnings"] == []
    assert code == 0


async def test_what_is_killed_comes_back_and_is_said(system: System) -> None:
    for name in list(system.pids):
        await system.kill_and_wait(name)
        assert f"{name} was ended by SIGKILL" in system.output.read_text()
    await until(system.ready)


async def test_a_second_start_on_the_folder_is_one_clear_line(system: System) -> None:
    code, _, errors = await daybook(system.settings.data, "up")
    assert code == 1
    assert "another `daybook up` runs on" in one_line(errors)


@pytest.mark.parametrize("variable", ["DAYBOOK_HTTP_PORT", "DAYBOOK_NATS_PORT"])
async def test_a_port_in_use_is_one_clear_line(system: System, data: Path, variable: str) -> None:
    port = str(system.settings.http_port if variable == "DAYBOOK_HTTP_PORT" else system.settings.nats_port)
    code, _, errors = await daybook(data, "up", **{variable: port})
    assert code == 1
    assert f"port {port} on 127.0.0.1 is in use; choose another with {variable}" in one_line(errors)


async def test_what_cannot_be_used_is_one_clear_line(data: Path) -> None:
    with data_folder(data):
        await asyncio.to_thread((data / "version").write_text, "0")
    for variables, text in [
        ({}, "is of version 0"),
        ({"DAYBOOK_DATA": "/proc/daybook"}, "/proc/daybook cannot be used"),
        ({"DAYBOOK_BATCH": "many"}, "DAYBOOK_BATCH must be an integer"),
    ]:
        code, _, errors = await daybook(data, "up", **variables)
        assert code == 1
        assert text in one_line(errors)


async def test_a_database_of_yours_that_is_away_is_one_clear_line(data: Path) -> None:
    code, _, errors = await daybook(data, "up", DAYBOOK_WRITE_DSN="postgresql://nobody@127.0.0.1:1/none")
    assert code == 1
    assert "DAYBOOK_WRITE_DSN" in one_line(errors)


async def test_without_a_system_status_says_so(data: Path) -> None:
    code, output, errors = await daybook(data, "status")
    assert code == 1
    assert "not running" in output
    assert not errors


@pytest.mark.parametrize("name", [None, *COMMANDS])
async def test_every_command_has_help(data: Path, name: str | None) -> None:
    code, output, errors = await daybook(data, *([name] if name else []), "--help")
    assert (code, errors) == (0, "")
    assert output.startswith(f"Usage: daybook {name or ''}".rstrip())


async def test_it_stops_cleanly_by_either_signal_and_its_next_start_finds_its_data_and_may_ask_nothing_itself(
    data: Path,
) -> None:
    keys = b""
    for number in (signal.SIGINT, signal.SIGTERM):
        async with running_system(data) as system:
            parts, before, keys = list(system.pids.values()), keys, system.settings.credentials.read_bytes()
            assert before in (b"", keys)
            assert await system.stop(number) == 0
            assert not any(psutil.pid_exists(pid) for pid in parts)
            assert Settings.from_env(environment(data)).nats_url == ""
    async with running_system(data, options=["--without-reactions"]) as system:
        assert system.settings.credentials.read_bytes() == keys
        for name in context_names():
            words = psutil.Process(system.pids[f"context-{name}"]).cmdline()
            assert words[-3:] == ["contexts", name, "--without-reactions"]


async def test_it_stops_cleanly_while_it_starts(data: Path) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway.cli", "up", env=environment(data), stdout=asyncio.subprocess.PIPE
    )
    await until((data / "lock").exists)
    await until(lambda: (data / "credentials.json").exists())
    process.send_signal(signal.SIGINT)
    output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0
    assert output.decode().endswith("Stopped.\n")
