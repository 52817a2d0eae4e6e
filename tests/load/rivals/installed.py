"""Installs the packages of rivals beside ours, in `.venv/rivals`: pinned, never among the project's own."""

import shutil
import subprocess
import sys
from functools import cache
from hashlib import sha256
from pathlib import Path

from common.config import PROJECT

HERE = Path(__file__).parent
PACKAGES = PROJECT / ".venv" / "rivals"
PYTHON, NODE = PACKAGES / "python", PACKAGES / "node"
PYTHON_PINS, NODE_PINS = HERE / "requirements.txt", HERE / "package.json"
WITHIN_S = 60
PIP = [
    *(sys.executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1"),
    *("--require-hashes", "--no-deps", "--upgrade", "--target", str(PYTHON), "--requirement"),
]
NPM = [
    *("install", "--no-package-lock", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel", "error"),
    *("--fetch-retries", "1"),
]


@cache
def python_packages() -> str:
    """Installs those of Python unless they are there. Returns why they are absent, or nothing."""
    return install(PYTHON, PYTHON_PINS, [*PIP, str(PYTHON_PINS)])


@cache
def node_packages() -> str:
    """Installs those of Node unless they are there. Returns why they are absent, or nothing."""
    npm = shutil.which("npm")
    if not npm or not shutil.which("node"):
        return "Node is not here"
    NODE.mkdir(parents=True, exist_ok=True)
    for file in (NODE_PINS, HERE / "emmett.mjs"):  # Node looks for packages from the place of the program up.
        shutil.copy(file, NODE)
    return install(NODE, NODE_PINS, [npm, *NPM])


def is_there(folder: Path, pins: Path) -> bool:
    """Whether these very pins have been installed."""
    stamp = folder / ".pins"
    return stamp.exists() and stamp.read_text() == fingerprint(pins)


def install(folder: Path, pins: Path, command: list[str]) -> str:
    """Runs the installation, once for these pins. Returns its last words when it fails."""
    if is_there(folder, pins):
        return ""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        made = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=WITHIN_S)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"its packages cannot be installed: {error}"
    if made.returncode:
        return f"its packages cannot be installed: {last_line(made.stderr or made.stdout)}"
    (folder / ".pins").write_text(fingerprint(pins))
    return ""


def fingerprint(pins: Path) -> str:
    return sha256(pins.read_bytes()).hexdigest()


def last_line(text: str) -> str:
    return ([line for line in text.splitlines() if line.strip()] or ["no reason given"])[-1].strip()
