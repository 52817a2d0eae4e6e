"""Where nats-server keeps a batch of messages until it is complete: in memory, where the machine offers that.

For each atomic batch the server makes a store of its own in the folder of the stream, and removes it after the commit.
On a disk to which others write through, making and removing files takes longer than storing the batch: with the folder
in memory, 34 % more orders a second were accepted over 128 connections, 43 % more over 32.

Nothing depends on it. A batch is acknowledged when its messages are stored in the stream and written through to the
disk; what is staged then is done with, and at its start the server throws away what it finds. It also throws away our
link, and stages on the disk again until the next start of everything.
"""

import os
import shutil
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

from common.servers.nats import stream_folder

MEMORY = Path("/dev/shm")
ROOM = 64 * 1024 * 1024
"""Bytes that must be free there: a hundred batches."""


def stage_in_memory(data: Path, *streams: str) -> bool:
    """Let the embedded server of a data folder stage the batches of these streams in memory. False when that cannot be
    done for all of them."""
    folder = staged(data)
    try:
        if not MEMORY.is_dir() or shutil.disk_usage(MEMORY).free < ROOM:
            return False
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(mode=0o700)  # Somebody else's folder of this name is an error: its owner could read commands.
        return all([_staged_there(data, stream, folder / stream) for stream in streams])
    except OSError:
        return False


def _staged_there(data: Path, stream: str, target: Path) -> bool:
    """Raises `OSError`."""
    link = stream_folder(data, stream) / "batches"
    if not link.parent.is_dir():
        return False
    target.mkdir(mode=0o700)
    with suppress(FileNotFoundError):
        link.unlink() if link.is_symlink() else link.rmdir()  # Not empty: a batch is on its way.
    link.symlink_to(target)
    return True


def staged(data: Path) -> Path:
    """The folder in memory that belongs to a data folder."""
    return MEMORY / f"daybook-{os.getuid()}-{sha256(os.fsencode(data.resolve())).hexdigest()[:16]}"


def unstage(data: Path) -> None:
    """Remove it, once the server has stopped."""
    shutil.rmtree(staged(data), ignore_errors=True)
