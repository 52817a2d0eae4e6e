"""What follows on a place in a record: without a gap, and of the same record (protocols P8 and P10)."""

from collections.abc import Sequence

from msgspec.structs import replace

from common.store.checkpoints import Checkpoint
from common.store.fold import Happened
from common.store.reader import Head


def misfit(context: str, checkpoint: Checkpoint, head: Head) -> str:
    """Why nobody can go on from this checkpoint with a record that ends there; "" when it fits."""
    if checkpoint.position > head.position:
        return f"has position {checkpoint.position} of {context}, whose head is {head.position}"
    if checkpoint.incarnation not in ("", head.incarnation):
        return f"has followed another incarnation of {context}"
    return ""


def contiguous(events: Sequence[Happened], after: int) -> list[Happened]:
    """The events that follow on a position, up to the first gap. Repeats are left out."""
    run: list[Happened] = []
    for each in events:
        if each.position == after + len(run) + 1:
            run.append(each)
    return run


def behind(before: Checkpoint, run: Sequence[Happened]) -> Checkpoint:
    """The place behind events that follow on a place."""
    sequence = next((each.sequence for each in reversed(run) if each.sequence), before.stream_seq)
    return replace(before, position=run[-1].position, incarnation=run[-1].incarnation, stream_seq=sequence)
