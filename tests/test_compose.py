"""compose.yaml and the Dockerfile, checked without an engine: they parse and name only what exists."""

import os
import re
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

from common.config import PROJECT
from gateway.cli import COMMANDS

COMPOSE: dict[str, Any] = yaml.safe_load((PROJECT / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
OURS = sorted(name for name, service in SERVICES.items() if service["image"] == "daybook")


def test_every_part_is_a_service() -> None:
    assert set(OURS) == {"prepare", "init", "gateway", "contexts", "projectors"}
    assert set(SERVICES) - set(OURS) == {"nats", "postgres-write", "postgres-read"}


@pytest.mark.parametrize("name", OURS)
def test_each_command_exists(name: str) -> None:
    python, flag, module, *words = SERVICES[name]["command"]
    assert (python, flag) == ("python", "-m")
    assert find_spec(f"{module}.__main__") is not None
    if module == "gateway.cli":
        assert words[0] in COMMANDS


@pytest.mark.parametrize("name", [name for name in SERVICES if name not in OURS] + ["gateway"])
def test_servers_and_gateway_have_health_checks(name: str) -> None:
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"


def test_each_volume_and_each_dependency_is_declared() -> None:
    for service in SERVICES.values():
        assert {volume.split(":")[0] for volume in service.get("volumes", [])} <= set(COMPOSE["volumes"])
        for other, need in service.get("depends_on", {}).items():
            assert other in SERVICES
            healthy = need["condition"] == "service_healthy"
            assert ("healthcheck" in SERVICES[other]) if healthy else SERVICES[other]["restart"] == "no"


def test_durability_is_on_where_it_must_be() -> None:
    assert {"-cfsync=on", "-csynchronous_commit=on"} <= set(SERVICES["postgres-write"]["command"])
    assert {"-cfsync=on", "-csynchronous_commit=off"} <= set(SERVICES["postgres-read"]["command"])
    assert SERVICES["nats"]["command"] == ["--config", SERVICES["prepare"]["command"][-1]]


@pytest.mark.parametrize(
    ("there", "then"),
    [([], []), (["$G"], ["DAYBOOK"]), (["DAYBOOK"], ["DAYBOOK"])],
)
def test_nats_is_started_on_our_accounts_streams_also_those_from_before_it(
    tmp_path: Path, there: list[str], then: list[str]
) -> None:
    found = nats_started(tmp_path, there)
    assert (found.returncode, found.stdout) == (0, "--config /config/nats.conf\n")
    assert sorted(each.name for each in tmp_path.glob("jetstream/*")) == then


def test_nats_is_not_started_where_older_code_has_made_other_streams_meanwhile(tmp_path: Path) -> None:
    found = nats_started(tmp_path, ["$G", "DAYBOOK"])
    assert (found.returncode, found.stdout) == (1, "")
    assert "keep one of" in found.stderr
    assert sorted(each.name for each in tmp_path.glob("jetstream/*")) == ["$G", "DAYBOOK"]


def test_nats_is_started_with_the_streams_of_buckets_in_an_account_of_their_own(tmp_path: Path) -> None:
    old, new = (tmp_path / "jetstream" / account / "streams" for account in ("DAYBOOK", "BUCKETS"))
    for folder in (old / "COMMANDS", old / "KV_doors" / "msgs", old / "KV_bells", new / "KV_doors" / "older"):
        folder.mkdir(parents=True)
    for _ in range(2):
        assert nats_started(tmp_path, []).returncode == 0
        assert [each.name for each in old.iterdir()] == ["COMMANDS"]
        assert sorted(each.name for each in new.glob("**/*")) == ["KV_bells", "KV_doors", "msgs"]


def nats_started(tmp_path: Path, there: list[str]) -> "subprocess.CompletedProcess[str]":
    """What the entrypoint of nats does in a folder with streams of these accounts."""
    program = tmp_path / "nats-server"
    program.write_text('#!/bin/sh\necho "$@"\n')
    program.chmod(0o700)
    for account in there:
        (tmp_path / "jetstream" / account).mkdir(parents=True)
    words = [*SERVICES["nats"]["entrypoint"], *SERVICES["nats"]["command"]]
    words = [word.replace("$$", "$").replace("/data", str(tmp_path)) for word in words]
    env = {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    return subprocess.run(words, env=env, cwd="/", capture_output=True, text=True, check=False)


def test_every_variable_is_one_that_the_settings_read() -> None:
    known = (PROJECT / "common" / "config.py").read_text()
    for name in OURS:
        for variable in SERVICES[name]["environment"]:
            assert variable == "PGPASSWORD" or f'"{variable}"' in known


def test_the_image_copies_what_exists_and_does_not_run_as_root() -> None:
    text = (PROJECT / "Dockerfile").read_text()
    for source in re.findall(r"^COPY (\S+)", text, re.MULTILINE):
        assert (PROJECT / source).exists(), source
    assert re.search(r"^USER (?!root)", text, re.MULTILINE)
    assert "--require-hashes --no-deps" in text
