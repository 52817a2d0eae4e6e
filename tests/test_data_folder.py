"""The data folder and the ports: what cannot be used is said in one line that names the variable."""

import socket
import stat
from pathlib import Path

import pytest

from common.config import Settings
from common.principals import ensure_principals
from common.servers.files import CannotStart, data_folder, require_free_port


def test_a_port_in_use_is_named_with_its_variable() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(CannotStart, match=f"port {port} on 127.0.0.1 is in use.* DAYBOOK_HTTP_PORT"):
            require_free_port("127.0.0.1", port, "DAYBOOK_HTTP_PORT")
    require_free_port("127.0.0.1", port, "DAYBOOK_HTTP_PORT")
    with pytest.raises(CannotStart, match="cannot be used"):
        require_free_port("192.0.2.1", port, "DAYBOOK_HTTP_PORT")


def test_one_folder_serves_one_system_at_a_time(data: Path) -> None:
    with data_folder(data), pytest.raises(CannotStart, match="another `daybook up` runs on"), data_folder(data):
        pass
    with data_folder(data):
        pass


def test_a_folder_of_another_version_is_refused(data: Path) -> None:
    with data_folder(data):
        (data / "version").write_text("0\n")
    with pytest.raises(CannotStart, match="is of version 0, this program needs 1"), data_folder(data):
        pass


def test_a_folder_that_is_not_ours_is_left_alone(data: Path) -> None:
    data.mkdir()
    (data / "thesis.txt").touch()
    with pytest.raises(CannotStart, match="holds something else"), data_folder(data):
        pass


def test_a_folder_that_holds_keys_only_can_be_used(data: Path) -> None:
    settings = Settings.from_env({"DAYBOOK_DATA": str(data)}, running=False)
    made = ensure_principals(settings, [])
    with data_folder(data):
        assert ensure_principals(settings, []) == made


@pytest.mark.parametrize("folder", ["/proc/daybook", "/dev/null/daybook"])
def test_a_folder_that_cannot_be_used_is_named(folder: str) -> None:
    with pytest.raises(CannotStart, match=f"{folder} cannot be used: .*DAYBOOK_DATA"), data_folder(Path(folder)):
        pass


def test_the_folder_is_closed_to_others(data: Path) -> None:
    with data_folder(data):
        assert stat.S_IMODE(data.stat().st_mode) & 0o066 == 0
