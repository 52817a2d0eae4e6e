"""Batches are staged in memory where that can be, and nothing depends on it."""

from pathlib import Path

import pytest

from common.client import connect
from common.servers import staging
from common.servers.nats import stream_folder
from common.servers.staging import stage_in_memory, staged, unstage
from tests.baskets import some_basket
from tests.servers import System


@pytest.fixture
def memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "shm"
    folder.mkdir()
    monkeypatch.setattr(staging, "MEMORY", folder)
    return folder


def made(data: Path, stream: str = "COMMANDS") -> Path:
    folder = stream_folder(data, stream)
    folder.mkdir(parents=True)
    return folder


def test_the_folder_of_batches_becomes_a_link_into_memory_that_only_we_can_read(tmp_path: Path, memory: Path) -> None:
    stream = made(tmp_path)
    (stream / "batches").mkdir()
    for _ in range(2):
        assert stage_in_memory(tmp_path, "COMMANDS")
        assert (stream / "batches").resolve() == staged(tmp_path) / "COMMANDS"
        assert staged(tmp_path).parent == memory
        assert staged(tmp_path).stat().st_mode & 0o777 == 0o700
    unstage(tmp_path)
    assert list(memory.iterdir()) == []
    assert stage_in_memory(tmp_path, "COMMANDS")


def test_each_stream_has_a_folder_of_its_own(tmp_path: Path, memory: Path) -> None:
    streams = [made(tmp_path)]
    assert not stage_in_memory(tmp_path, "COMMANDS", "KV_some")  # There is no such stream yet.
    streams.append(made(tmp_path, "KV_some"))
    assert stage_in_memory(tmp_path, "COMMANDS", "KV_some")
    assert {(each / "batches").resolve().name for each in streams} == {"COMMANDS", "KV_some"}


def test_a_batch_on_its_way_is_left_where_it_is(tmp_path: Path, memory: Path) -> None:
    batch = made(tmp_path) / "batches" / "one"
    batch.mkdir(parents=True)
    assert not stage_in_memory(tmp_path, "COMMANDS")
    assert batch.is_dir()


def test_without_the_stream_or_memory_or_room_there_everything_stays_on_the_disk(
    tmp_path: Path, memory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert not stage_in_memory(tmp_path, "COMMANDS")
    made(tmp_path)
    monkeypatch.setattr(staging, "ROOM", 2**62)
    assert not stage_in_memory(tmp_path, "COMMANDS")
    monkeypatch.setattr(staging, "MEMORY", tmp_path / "none")
    assert not stage_in_memory(tmp_path, "COMMANDS")


def test_somebody_elses_folder_is_not_used(tmp_path: Path, memory: Path) -> None:
    stream, theirs = made(tmp_path), tmp_path / "theirs"
    theirs.mkdir()
    staged(tmp_path).symlink_to(theirs)
    assert not stage_in_memory(tmp_path, "COMMANDS")
    assert not (stream / "batches").exists()


async def test_commands_pass_with_staging_in_memory_and_after_the_server_was_killed(system: System) -> None:
    folder = stream_folder(system.settings.data, "COMMANDS") / "batches"
    settings = system.settings
    orders = [some_basket() for _ in range(50)]
    async with connect(settings.nats_url, "replay", settings.password("replay")) as client:
        for killed in (False, True):
            if killed:
                await system.kill_and_wait("nats")
            sent = [await client.send(some_basket())] if killed else await client.send_many(orders)
            assert (await client.wait(sent[-1])).state == "accepted"
            assert folder.is_symlink() is (staging.MEMORY.is_dir() and not killed)
