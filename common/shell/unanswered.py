"""Why a query has no answer although nothing is wrong with it."""

from typing import Any

from common.shell.room import Full

RETRY_AFTER_S = 1


class Unanswered(Exception):
    """Status as HTTP has it, a stable code, and members that say how things are now; 503 may be asked again."""

    def __init__(self, status: int, code: str, detail: str, **members: Any) -> None:
        super().__init__(detail)
        self.status, self.code, self.detail, self.members = status, code, detail, members


def too_many(full: Full) -> Unanswered:
    return Unanswered(503, "too-many-waiting", f"{full}; ask again later, or without waiting")
