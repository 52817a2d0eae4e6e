"""README.md keeps its word: every snippet runs as it stands, and what it names exists."""

import asyncio
import os
import re
import shutil
import sys
from pathlib import Path

import msgspec
import pytest

from common.config import PROJECT
from gateway.cli import COMMANDS
from tests.servers import System

README = (PROJECT / "README.md").read_text()
SNIPPETS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
VARIABLE = re.compile(r"DAYBOOK_[A-Z]+(?:_[A-Z]+)*")
OF_ONE_CONTEXT, OF_COMPOSE = "DAYBOOK_WRITE_DSN_ORDER", "DAYBOOK_POSTGRES_PASSWORD"


def snippet(kind: str, word: str) -> str:
    """The one snippet of a kind that holds a word."""
    found: str
    (found,) = [text for name, text in SNIPPETS if name == kind and word in text]
    return found


async def run(words: list[str], folder: Path, **variables: str) -> str:
    """The output of a program that must succeed."""
    env = {name: value for name, value in os.environ.items() if not name.startswith("DAYBOOK_")}
    process = await asyncio.create_subprocess_exec(
        *words,
        cwd=folder,
        env=env | {"PYTHONPATH": str(PROJECT)} | variables,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    output, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return output.decode()


async def run_on(system: System, kind: str, text: str) -> str:
    """Run a snippet on this system instead of the one on the usual ports and in the usual folder."""
    nats = f'nats.connect("{system.settings.nats_url}", '
    text = text.replace(".venv/bin/daybook", f"{sys.executable} -m gateway.cli").replace("nats.connect(", nats)
    text = text.replace("http://127.0.0.1:${DAYBOOK_HTTP_PORT:-8000}", system.url).replace(
        ".daybook/", f"{system.settings.data}/"
    )
    program = [shutil.which("bash") or "sh", "-ec"] if kind == "sh" else [sys.executable, "-c"]
    if not shutil.which("curl"):
        text = f'curl() {{ {sys.executable} -m tests.curl "$@"; }}\n{text}' if kind == "sh" else text
    return await run([*program, text], PROJECT, DAYBOOK_DATA=str(system.settings.data))


async def test_first_success_and_the_same_by_nats(system: System) -> None:
    said = [msgspec.json.decode(line) for line in (await run_on(system, "sh", first_success())).splitlines()]
    product, goods, customer, order, seen, confirmed, dispatched, delivered, done = said
    assert {each["state"] for each in (product, goods, customer, dispatched, delivered)} == {"accepted"}
    assert order["state"] == "undecided"
    assert seen["total"] == 900
    assert (confirmed["state"], done["state"]) == ("confirmed", "delivered")
    stored, receipt = (await run_on(system, "python", snippet("python", "inbox_prefix"))).splitlines()
    assert "COMMANDS" in stored
    assert '"order.has-left"' in receipt
    receipt, placed, confirmed = (await run_on(system, "python", snippet("python", "common.client"))).splitlines()
    assert "state='accepted'" in receipt
    assert "'order_id': 'ada-2'" in placed
    assert "'state': 'confirmed'" in confirmed


async def test_the_same_question_is_answered_by_events_and_by_a_table(system: System) -> None:
    setting, product, *_ = first_success().split("\nas ")
    asked = snippet("sh", "as_of=now").replace("tea", "cup").replace("/ada-1/", "/nobody/")
    said = await run_on(system, "sh", f"{setting}\nas {product}\n{asked}".replace('"tea"', '"cup"'))
    _, folded, row, timeline = map(msgspec.json.decode, said.splitlines())
    assert folded["state"]["sku"] == row["sku"] == "cup"
    assert timeline["status"] == 404


def first_success() -> str:
    return snippet("sh", "daybook key")


async def test_the_context_of_the_example_is_found_with_its_routes(tmp_path: Path) -> None:
    for name in ("contexts", "projectors"):
        shutil.copytree(PROJECT / name, tmp_path / name)
    for part in re.split(r"^# (?=\w+/)", snippet("python", "# contexts/"), flags=re.MULTILINE)[1:]:
        place, _, text = part.partition("\n")
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).write_text(text)
    script = """
from common import discovery
from gateway import openapi
from gateway.commands_door import command_routes
discovery.contexts()
queries = discovery.query_handlers(discovery.read_models().values())
print(*openapi.operations(command_routes(discovery.commands()), queries).document("", "")["paths"])
from common.glossary.gather import glossary
from tests import words
found = glossary()
(review,) = [each for each in found.contexts if each.name == "review"]
(counts,) = [each for each in found.read_models if each.name == "review_counts"]
print(*words.of_context(review), *words.of_read_model(counts, "review_counts"), sep="\\n")
"""
    paths, *complaints = (
        await run([sys.executable, "-c", script], tmp_path, PYTHONPATH=f"{tmp_path}:{PROJECT}")
    ).splitlines()
    assert [each for each in complaints if each] == []
    assert {"/reviews", "/reviews/{review_id}", "/review-counts/{sku}"} <= set(paths.split())


def test_it_names_every_variable_and_no_other() -> None:
    read = set(VARIABLE.findall((PROJECT / "common" / "config.py").read_text()))
    assert set(VARIABLE.findall(README)) - {OF_ONE_CONTEXT, OF_COMPOSE} == read


def test_what_it_names_exists() -> None:
    assert set(re.findall(r"daybook ([a-z]+)[ `)]", README)) <= set(COMMANDS)
    folders = re.findall(r"`((?:gateway|contexts|projectors|common|tests)/[a-z/]*)`", README)
    assert [name for name in folders if not (PROJECT / name).is_dir()] == []


def test_it_is_short() -> None:
    assert len(README.splitlines()) <= 320


async def test_where_there_is_no_curl_another_does_its_part(system: System, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None)
    setting, product, *_ = first_success().split("\nas ")
    said = await run_on(system, "sh", f"{setting}\nas {product}".replace('"tea"', '"mint"'))
    assert msgspec.json.decode(said)["state"] == "accepted"
