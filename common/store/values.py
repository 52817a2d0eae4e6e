"""The values of a bucket, folded from events: from what lies there, or anew from a stream's own events."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from common.bucketmodel import BucketModel
from common.bus.bucket import Entry
from common.codec import EventCodec
from common.store.fold import Happened, decoded, heeded
from common.store.reader import EventReader


class Overtaken(Exception):
    """A value there is of a later generation of the fold: somebody else has begun one."""


def outdated(entries: Mapping[str, Entry], generation: int, run: Iterable[Happened]) -> set[str]:
    """The keys whose value is not of this generation, and which the run has brought as far as that value is.

    Raises `Overtaken`.
    """
    if any(entry.generation > generation for entry in entries.values()):
        raise Overtaken
    older = {key: entry.position for key, entry in entries.items() if entry.generation < generation}
    return {each.stream for each in run if each.position >= older.get(each.stream, each.position + 1)}


def folded(
    model: BucketModel, generation: int, run: Sequence[Happened], entries: Mapping[str, Entry]
) -> dict[str, Entry]:
    """What a run of events makes of these entries, without those it leaves as they are. Revisions are those replaced.

    Raises what the model's `apply` raises, and `Undecodable`.
    """
    changed: dict[str, Entry] = {}
    for each in heeded(model, model.context, run):
        before = changed.get(each.stream) or entries.get(each.stream) or Entry(0, generation, 0, None)
        if before.generation == generation and before.position < each.position:
            value = applied(model, before.value, each)
            changed[each.stream] = Entry(before.revision, generation, each.position, value)
    return changed


def applied(model: BucketModel, value: Any, each: Happened) -> Struct | None:
    after = model.apply(value, each.stream, each.event)
    return None if after is None else replace(after, version=each.version, position=each.position)


async def anew(
    model: BucketModel, codec: EventCodec, reader: EventReader, keys: Collection[str], up_to: int
) -> dict[str, Entry]:
    """Entries as the events of these streams make them, up to a position; of revision and generation 0."""
    events = [decoded(codec, each) for each in await reader.streams(keys, up_to)] if keys else []
    return {key: Entry(0, 0, up_to, None) for key in keys} | folded(model, 0, events, {})
