"""Each rival does its work; one that cannot be here says why."""

import sys
from pathlib import Path

import msgspec
import pytest

from common.codec import CommandCodec
from contexts.order.commands import PlaceOrder
from tests.load.lag import idle, loaded
from tests.load.measure import CLIENT, OTHERS, measured
from tests.load.rivals import installed
from tests.load.rivals.daybook import DAYBOOK
from tests.load.rivals.registry import SYSTEMS
from tests.load.rivals.system import Sample, System
from tests.load.rivals.test_monoliths import ORDER

SAMPLE = Sample.of([CommandCodec(PlaceOrder).decode("o1", msgspec.json.encode(ORDER))])  # type: ignore[list-item]
NEEDS = {"eventsourcing": (installed.PYTHON, installed.PYTHON_PINS), "emmett": (installed.NODE, installed.NODE_PINS)}
RIVALS = [system for system in SYSTEMS if system is not DAYBOOK]


@pytest.mark.parametrize("system", RIVALS, ids=lambda system: system.name)
async def test_what_a_rival_says_that_it_has_taken_is_stored_whenever_it_is_started(system: System, data: Path) -> None:
    if system.name in NEEDS and not installed.is_there(*NEEDS[system.name]):
        pytest.skip("`make bench` installs its packages")
    for _ in range(2):
        async with system.run(data, SAMPLE) as running:
            for path in system.paths:
                run = await measured(path, running, 0.2)  # It compares what is stored with what was accepted.
                assert (run.accepted > 0, run.refused) == (True, 0)
                assert run.cores.keys() == {*running.pids, CLIENT, OTHERS}
                assert bool(running.kept) is (system.name != "bare_litestar")


async def test_daybook_is_measured_until_all_is_visible_and_its_lags_are_those_of_the_record(data: Path) -> None:
    async with DAYBOOK.run(data, SAMPLE) as running:
        for path in ("http_32", "nats"):
            assert (await measured(path, running, 0.2)).accepted > 0
        assert running.watched
        alone = await idle(running.watched, 1, 0.1)
        assert 0 < alone.seconds[0] < 10
        under_load = await loaded(running.watched, 100, 0.5)
        assert len(under_load.seconds) == 50
        assert under_load.per_s == 100
        assert 0 < min(under_load.seconds) < 10


def test_a_rival_whose_packages_cannot_be_installed_says_why(tmp_path: Path) -> None:
    pins = tmp_path / "pins"
    pins.write_text("none")
    failing = [sys.executable, "-c", "import sys; sys.exit('no registry here')"]
    assert "no registry here" in installed.install(tmp_path / "folder", pins, failing)
    assert not installed.is_there(tmp_path / "folder", pins)
    assert "No such file" in installed.install(tmp_path / "folder", pins, ["no-such-program-anywhere"])


def test_packages_are_installed_once_for_the_same_pins(tmp_path: Path) -> None:
    pins, folder = tmp_path / "pins", tmp_path / "folder"
    count = [sys.executable, "-c", "open('times', 'a').write('.')"]
    for text in ("one", "one", "two"):
        pins.write_text(text)
        assert installed.install(folder, pins, count) == ""
    assert (folder / "times").read_text() == ".."


def test_without_node_its_rival_is_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    assert installed.node_packages.__wrapped__() == "Node is not here"


async def test_a_program_that_ends_is_an_error_that_says_so(data: Path) -> None:
    from tests.load.rivals.piped import library

    broken = [sys.executable, "-c", "raise SystemExit(3)"]
    with pytest.raises(RuntimeError, match="ended with 3"):
        async with library("broken", broken, {}, "nowhere", (1,), data, SAMPLE):
            pass
