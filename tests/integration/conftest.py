"""A record of its own for the checks of invariants."""

from tests.shell.worlds import nc, world

__all__ = ["nc", "world"]
