"""How a fault is described where it is stored, and where personal data is about: without the words of the exception,
which may hold anybody's data."""

import traceback
from pathlib import Path

import asyncpg


def described(error: BaseException) -> str:
    """What kind of fault it was and where: type and line of code, or SQLSTATE and constraint."""
    name = type(error).__name__
    if isinstance(error, asyncpg.PostgresError):
        constraint = getattr(error, "constraint_name", None)
        return f"{name} {error.sqlstate}" + (f" {constraint}" if constraint else "")
    frames = traceback.extract_tb(error.__traceback__)
    return f"{name} at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else name


def wordless(error: BaseException) -> str:
    """The fault as `described`, and the way to it: file, line and function of each frame."""
    frames = traceback.extract_tb(error.__traceback__)
    return "".join([described(error), *(f"\n  {frame.filename}:{frame.lineno} {frame.name}" for frame in frames)])


def storable(text: str) -> str:
    """The text without what Postgres refuses in one: U+0000 and lone surrogates become U+FFFD."""
    return (
        text.replace("\0", "\ufffd").encode("utf-8", "replace").decode() if not text.isascii() or "\0" in text else text
    )
