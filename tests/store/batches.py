"""Small batches to append."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from common.context import Claim
from common.store.append import Batch
from common.store.new_rows import NewDeadline, NewEvent, NewReceipt

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)


def event(stream: str, version: int, command_id: str = "c", n: int = 0) -> NewEvent:
    return NewEvent(stream, version, "ThingDone", f'{{"of":"{stream}"}}', n, command_id, "alice", command_id, "", NOON)


def receipt(command_id: str, offset: int, events: int = 1) -> NewReceipt:
    return NewReceipt(
        "alice", command_id, "hash", "accepted", "DoThing", "k", 1, offset, events, "", "", "{}", command_id, NOON
    )


def batch(
    events: Sequence[NewEvent] = (),
    receipts: Sequence[NewReceipt] = (),
    done: dict[str, int] | None = None,
    claims: dict[Claim, tuple[str | None, str | None]] | None = None,
    rows: dict[str, tuple[int, str]] | None = None,
    deadlines: Sequence[NewDeadline] = (),
) -> Batch:
    by_name = {(each.stream, each.name): each for each in deadlines}
    return Batch(done or {"0": 1}, list(events), list(receipts), claims or {}, rows or {}, [], by_name)


def deadline(stream: str, seconds: float | None, name: str = "return", event_id: str = "e1") -> NewDeadline:
    within = None if seconds is None else timedelta(seconds=seconds)
    return NewDeadline(stream, name, within, event_id, "c1")


def orders(prefix: str, count: int, done: dict[str, int] | None = None) -> Batch:
    """A batch of first events of as many streams, a command each."""
    names = [f"{prefix}-{i}" for i in range(count)]
    return batch([event(n, 1, n) for n in names], [receipt(n, i + 1) for i, n in enumerate(names)], done)
