"""Parts of a running system that stand still or die."""

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from tests.servers import System


@contextmanager
def still(system: System, part: str) -> Iterator[None]:
    """A part stands still: it is there, and does nothing."""
    pid = system.kill(part, signal.SIGSTOP)
    try:
        yield
    finally:
        os.kill(pid, signal.SIGCONT)
