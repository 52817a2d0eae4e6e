"""The load-test scripts do what they say: the mix, the target, errors, limits, and sums that the table confirms."""

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import islice
from pathlib import Path
from time import perf_counter
from typing import Any

import asyncpg
import click
import msgspec
import pytest
from click.testing import CliRunner
from rich.console import Console

from common.config import Settings
from tests.load.driving.by_http import HttpLane, Prepared
from tests.load.driving.mix import DEFAULT, Material, Orders, in_turn, mix_of
from tests.load.driving.nothing import reach
from tests.load.driving.result import Client, Kind, Result, Second, client_of, errors_of, kinds_of
from tests.load.driving.run import Plan, all_lanes
from tests.load.driving.script import missed
from tests.load.driving.show import show, warnings
from tests.load.driving.tally import Outcome, Tally
from tests.load.driving.target import address, chosen
from tests.load.driving.watch import understood
from tests.load.http import main as http_main
from tests.load.http import opened as http_opened
from tests.load.nats import main as nats_main
from tests.servers import System, environment, until


def test_the_mix_is_as_told_and_evenly_spread() -> None:
    shares = mix_of(DEFAULT)
    kinds = list(islice(in_turn(shares), 150))
    assert Counter(kinds) == {kind: 10 * share for kind, share in shares.items()}
    assert Counter(kinds[:15]) == shares
    assert mix_of("place=1, get=0") == {"place": 1}


@pytest.mark.parametrize("text", ["", "place", "place=x", "place=-1", "pay=1", "place=1,place=2", "place=0"])
def test_a_mix_that_is_none_is_refused_with_its_option(text: str) -> None:
    result = CliRunner().invoke(http_main, ["--mix", text])
    assert result.exit_code == 2
    assert "--mix" in result.output


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--url", "http://192.0.2.1:8000"], "--url names another machine, 192.0.2.1"),
        (["--url", "http://shop.example"], "--remote"),
        (["--url", "ftp://127.0.0.1"], "--url must be like http://127.0.0.1:80"),
        (["--url", "nonsense"], "--url must be like"),
        (["--nats-url", "nats://192.0.2.1:4222"], "--nats-url names another machine"),
        (["--nats-url", "http://127.0.0.1"], "--nats-url must be like nats://"),
        (["--own", "--url", "http://127.0.0.1:8000"], "--own"),
        (["--rate", "5", "--connections", "5"], "--connections"),
        (["--in-flight", "5"], "--in-flight"),
        ([], "start `daybook up`, or give --url or --own"),
    ],
)
def test_a_wrong_target_is_refused_with_an_error_that_names_the_option(
    arguments: list[str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in os.environ if name.startswith("DAYBOOK_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("DAYBOOK_DATA", str(tmp_path))
    for script in (http_main, nats_main):
        result = CliRunner().invoke(script, arguments)
        assert result.exit_code == 2
        assert named in result.output.replace("\n", " ")


def test_another_machine_is_a_target_when_that_is_said() -> None:
    assert address("http://192.0.2.1:8000", "--url", ("http",), 80, True) == ("192.0.2.1", 8000)
    assert address("http://[::1]", "--url", ("http",), 80, False) == ("::1", 80)
    assert address("http://localhost:1", "--url", ("http",), 80, False) == ("localhost", 1)


def test_a_target_without_a_key_of_ours_is_refused(tmp_path: Path) -> None:
    settings = Settings.from_env({"DAYBOOK_DATA": str(tmp_path)})
    with pytest.raises(click.ClickException, match="DAYBOOK_CREDENTIALS"):
        chosen("http://127.0.0.1:1", "", False, settings)


async def test_errors_are_told_by_kind_status_and_reason_with_an_example() -> None:
    answers = iter(
        [b"503 X\r\nContent-Length: 15\r\n\r\n" + b'{"code":"full"}', b"500 X\r\nContent-Length: 3\r\n\r\nodd"]
    )

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while await reader.read(10_000):
            if (text := next(answers, None)) is None:
                break
            writer.write(b"HTTP/1.1 " + text)
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    stuff = Material([b"{}"], ["h1"], ["tea"])
    lane = HttpLane("127.0.0.1", server.sockets[0].getsockname()[1], Prepared("k", stuff), Orders("p", [b"{}"]))
    tally = Tally()
    for _ in range(3):
        tally.note(await lane.ask("list"), perf_counter())
    lane.close()
    server.close()
    await server.wait_closed()
    assert [(each.status, each.reason, each.count) for each in errors_of(tally)] == [
        (503, "full", 1),
        (500, "", 1),
        (0, "ConnectionError", 1),
    ]
    assert errors_of(tally)[1].example == "odd"
    assert (tally.failed, tally.answered, tally.accepted, kinds_of(tally)) == (3, 3, 0, {})


def test_an_order_that_is_not_visible_yet_is_no_error() -> None:
    tally = Tally()
    tally.note(Outcome("get", 404), tally.begun)
    tally.note(Outcome("own", 404, "not-found"), tally.begun)
    assert (kinds_of(tally)["get"].not_visible_yet, tally.failed) == (1, 1)


def test_the_lag_is_read_whatever_else_the_answer_holds() -> None:
    found = {"model": "orders", "context": "order", "projected": 5, "events": 2, "p50_ms": 1, "p99_ms": "unknown"}
    look = understood({"read_models": [{"model": "products"}, found | {"new": {}}], "processes": []})
    assert look is not None
    assert (look.projected, look.behind, look.p50_ms, look.p99_ms) == (5, 2, 1.0, None)
    assert understood({"read_models": []}) is None
    assert understood([]) is None


async def test_a_server_that_never_answers_does_not_hold_who_has_had_enough(monkeypatch: pytest.MonkeyPatch) -> None:
    class Silent:
        async def ask(self, kind: str) -> Outcome:
            stopped.set()
            schedule.stop()
            await asyncio.Event().wait()
            raise AssertionError

        def close(self) -> None: ...

    monkeypatch.setattr("tests.load.driving.run.LAST_ANSWER_S", 0.05)
    stopped, tally, plan = asyncio.Event(), Tally(), Plan({"place": 1}, 3600.0, None, 10.0, 1)
    schedule = plan.schedule()
    async with asyncio.timeout(5):
        await all_lanes([Silent()], schedule, plan, Orders("p", [b"{}"]), tally, stopped)
    assert [(each.reason, each.count) for each in errors_of(tally)] == [("no answer in time", 1)]
    assert (tally.sent, tally.answered, tally.failed) == (1, 1, 1)


async def test_what_the_client_itself_reaches_is_measured_against_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.load.driving.nothing.SECONDS", 0.2)
    stuff = Material([b"{}", b" " * 40_000], ["h1"], ["tea"])
    assert await reach(http_opened, stuff, Plan(mix_of(DEFAULT), 60.0, None, None, 8)) > 100


def test_a_client_that_is_busy_or_late_is_told() -> None:
    assert not client_of([0.001] * 100, 0.5, 1.0).limits
    assert client_of([0.001] * 100, 0.9, 1.0).limits
    assert client_of([0.001] * 98 + [0.020] * 2, 0.1, 1.0).limits


def a_result(**changed: Any) -> Result:
    kinds = {"place": Kind(10, 0, 5.0, 8.0, 20.0, 30.0), "get": Kind(5, 2, 1.0, 2.0, 3.0, 4.0)}
    seconds = [Second(n, 100 + n, 90.0, 5.0, 20.0, 2.0, None, n) for n in range(5)]
    result = Result(
        *("HTTP", "http://127.0.0.1:1", "open loop", {"place": 1}, 5.0, False, 15, 1, 2, 10, 2.0, 9, 1.8, 4.0, 50.0),
        *("load-1", 30, kinds, [], seconds, Client(0.95, 1.0, True)),
    )
    return msgspec.structs.replace(result, **changed)


def test_limits_that_are_not_kept_are_told() -> None:
    assert missed(a_result(), None, None, None) == missed(a_result(), 20.0, 50.0, 3) == []
    assert [line.split()[0] for line in missed(a_result(), 10.0, 49.0, 2)] == [
        "--max-p99-ms",
        "--max-lag-p99-ms",
        "--max-errors",
    ]
    assert missed(a_result(lag_p99_ms=None), None, 1000.0, None) == ["--max-lag-p99-ms 1000: unknown"]


def test_a_result_fits_a_hundred_columns_and_needs_no_colours(capsys: pytest.CaptureFixture[str]) -> None:
    show(a_result(missed=["--max-errors 0: 2 failed"]), Console(file=sys.stdout))
    shown = capsys.readouterr().out
    assert "\x1b" not in shown
    assert max(map(len, shown.splitlines())) <= 100
    for text in ("2 accepted/s", "not visible yet", "●", "○", "what limits these figures", "missed: --max-errors 0"):
        assert text in shown
    assert len(warnings(a_result(visible=None, stopped_early=True))) == 3


@asynccontextmanager
async def script(system: System, name: str, *words: str) -> AsyncIterator[asyncio.subprocess.Process]:
    env = environment(system.settings.data)
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", f"tests.load.{name}", *words),
        env=env,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@pytest.mark.parametrize(
    ("name", "words"),
    [("http", ["--rate", "100"]), ("http", ["--connections", "4"]), ("nats", ["--rate", "100"])],
)
async def test_what_a_script_says_is_what_the_read_table_holds(
    system: System, tmp_path: Path, name: str, words: list[str]
) -> None:
    file = tmp_path / "result.json"
    mix = "place=6,get=2,own=2,list=1,search=1,cancel=2"
    async with script(system, name, *words, "--seconds", "1.5", "--mix", mix, "--json", str(file)) as process:
        output, _ = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, output.decode()
    result = msgspec.json.decode(file.read_bytes(), type=Result)
    assert (result.failed, result.errors, result.stopped_early) == (0, [], False), result.errors
    assert result.sent == sum(each.answered for each in result.kinds.values())
    assert result.kinds.keys() == {"place", "get", "own", "list", "search", "cancel"}
    assert result.accepted == result.kinds["place"].answered + result.kinds["cancel"].answered
    assert result.accepted == result.visible == sum(each.accepted for each in result.timeline)
    if "--rate" in words:
        assert result.sent + result.not_sent == 150
    reads = await asyncpg.connect(system.settings.read_dsn)
    counted = "SELECT state, count(*) FROM read.orders WHERE order_id LIKE $1 GROUP BY state"
    states = {row[0]: row[1] for row in await reads.fetch(counted, f"{result.orders_prefix}-%")}
    await reads.close()
    assert sum(states.values()) == result.orders_placed
    assert states["cancelled"] == result.kinds["cancel"].answered


async def test_ctrl_c_ends_a_script_with_what_was_measured(system: System, tmp_path: Path) -> None:
    file = tmp_path / "result.json"
    words = ("--rate", "50", "--seconds", "600", "--mix", "place=1", "--json", str(file))
    reads = await asyncpg.connect(system.settings.read_dsn)
    before = await reads.fetchval("SELECT count(*) FROM read.orders")

    async def runs() -> bool:
        return bool(await reads.fetchval("SELECT count(*) > $1 FROM read.orders", before + 40))

    async with script(system, "http", *words) as process:
        await until(runs)
        process.send_signal(signal.SIGINT)
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    await reads.close()
    assert process.returncode == 0, output.decode()
    result = msgspec.json.decode(file.read_bytes(), type=Result)
    assert (result.stopped_early, result.failed, result.sent) == (True, 0, result.accepted)
    assert b"Stopped early" in output


async def test_a_script_whose_gateway_is_away_says_so(system: System) -> None:
    async with script(system, "http", "--url", "http://127.0.0.1:1", "--seconds", "1") as process:
        output, _ = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 1
    assert b"the first order is not taken (no answer)" in output
