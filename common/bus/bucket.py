"""A read model's bucket: keys with values in JetStream, as every NATS client knows them (protocol P8).

Whoever puts a value compares first: a header says of which fold it is and which position of the record it reflects. It
never carries our version header: who may watch a bucket could have the server deliver it under another subject, and it
would count as our word there. What lacks the header is no value of ours: the server's own acknowledgement, which a
forged reply subject can put under any key.

How far the bucket is folded is a key too. It holds dots, which ids never do.
"""

from collections.abc import Collection, Mapping
from typing import Any

import msgspec
from msgspec import Struct
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import Header

from common.bucketmodel import BucketModel
from common.bus.direct import direct, one
from common.bus.outgoing import Message

FOLD_HEADER = "Daybook-Fold"
GIB = 1024**3
Fold = tuple[int, int]
"""A generation, and the position that a value reflects."""
NO_FOLD: Fold = (0, 0)
NOTHING: Mapping[str, str] = {}


class Entry(Struct, frozen=True, gc=False):
    """What is stored under a key: under which revision, of which generation of the fold, and reflecting what position.

    Of what is not ours, or cannot be read any more, the generation is 0 and there is no value.
    """

    revision: int
    generation: int
    position: int
    value: Any


class Progress(Struct, frozen=True):
    """How far the bucket is folded, and by which version of the model.

    The generation is the time at which that was begun, in Unix milliseconds: each later one is greater, also when the
    bucket had been lost. `stream_seq` is the place in EVENTS, a hint for where to read on. Up to the sequence `seen` of
    the bucket's own stream all was looked at.
    """

    version: int
    generation: int
    position: int = 0
    incarnation: str = ""
    stream_seq: int = 0
    seen: int = 0


_encoder = msgspec.json.Encoder()
_progress = msgspec.json.Decoder(Progress)


class Bucket:
    """The bucket of one model: what lies there, and what puts something there."""

    def __init__(self, model: BucketModel) -> None:
        self.model = model
        self.stream, self._root = f"KV_{model.name}", f"$KV.{model.name}."
        self.place = f"checkpoint.{model.context}"
        self._decoder = msgspec.json.Decoder(model.value)

    @property
    def config(self) -> dict[str, Any]:
        """The stream behind it. One value a key is kept; what is full takes no more, and that model alone waits."""
        return {
            "name": self.stream,
            "subjects": [f"{self._root}>"],
            "storage": "file",
            "retention": "limits",
            "discard": "new",
            "max_msgs_per_subject": 1,
            "max_bytes": GIB,
            "allow_direct": True,
            "allow_atomic": True,
            "deny_delete": True,
            "deny_purge": True,
        }

    async def get(self, nc: Client, key: str) -> Any:
        """The value under a key, or None. Raises nats-py's errors; `NoRespondersError` when there is no bucket."""
        found = await one(nc, self.stream, self._root + key)
        return self._entry(found).value if found else None

    async def entries(self, nc: Client, keys: Collection[str]) -> dict[str, Entry]:
        """What is stored under these keys, by key, as far as there is anything."""
        found = await direct(nc, self.stream, {"multi_last": [self._root + key for key in keys]}) if keys else []
        return {self._key(message): self._entry(message) for message in found}

    async def progress(self, nc: Client) -> tuple[int, Progress | None]:
        """How far it is folded, and the revision of that; None when it does not say."""
        found = await one(nc, self.stream, self._root + self.place)
        if found is None:
            return 0, None
        try:
            return sequence_of(found), _progress.decode(found.data) if fold_of(found) else None
        except msgspec.MsgspecError:
            return sequence_of(found), None

    async def strays(self, nc: Client, start: int, limit: int) -> tuple[int, dict[str, int]]:
        """Looks at what is stored from a sequence on, so many messages at most: the last one's sequence, and the
        revisions of what is not ours, by key."""
        question = {"seq": start, "batch": limit, "next_by_subj": f"{self._root}>"}
        found = await direct(nc, self.stream, question)
        strays = {self._key(each): sequence_of(each) for each in found if not fold_of(each)}
        return sequence_of(found[-1]) if found else start - 1, strays

    def put(self, key: str, entry: Entry) -> Message:
        """What puts an entry in the place of the revision that it names; 0 for none."""
        body = b"" if entry.value is None else _encoder.encode(entry.value)
        gone = {"KV-Operation": "DEL"} if entry.value is None else {}
        return self._message(key, body, entry.revision, (entry.generation, entry.position), gone)

    def move(self, progress: Progress, revision: int) -> Message:
        """What puts the place behind all that has been put."""
        return self._message(self.place, _encoder.encode(progress), revision, (progress.generation, progress.position))

    def _message(self, key: str, body: bytes, revision: int, fold: Fold, more: Mapping[str, str] = NOTHING) -> Message:
        headers = {
            Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value: str(revision),
            FOLD_HEADER: f"{fold[0]} {fold[1]}",
            **more,
        }
        return Message(self._root + key, headers, body)

    def _key(self, message: Msg) -> str:
        return (message.headers or {})["Nats-Subject"].removeprefix(self._root)

    def _entry(self, message: Msg) -> Entry:
        revision, fold = sequence_of(message), fold_of(message)
        try:
            value = self._decoder.decode(message.data) if fold and message.data else None
        except msgspec.MsgspecError:
            fold, value = None, None
        return Entry(revision, *(fold or NO_FOLD), value)


def sequence_of(message: Msg) -> int:
    """The place in the stream of a message that was read straight from it: the revision of an entry."""
    return int((message.headers or {})["Nats-Sequence"])


def fold_of(message: Msg) -> Fold | None:
    """What the header says of the fold; None for what is not ours."""
    generation, _, position = (message.headers or {}).get(FOLD_HEADER, "").partition(" ")
    return (int(generation), int(position)) if generation.isdecimal() and position.isdecimal() else None
