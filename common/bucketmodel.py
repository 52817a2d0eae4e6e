"""What a read model declares that lives in a bucket: its values, which events it follows and how they change them."""

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Struct

from common.messages import Event


class BucketModel(Struct, frozen=True, kw_only=True):
    """A fold into a bucket of keys and values (NATS key-value), to get and to watch.

    One context is followed. A key is the id of a stream, so that one value can be folded anew from its own events; the
    field `key` of a value repeats it. `apply(value, stream, event)` gives the value after an event, or None for no
    value. It is pure. A value has fields `version` and `position`, which are filled in: the version of the stream, and
    the position of its last event that was applied. A changed `apply` counts `version` of the model up: then all values
    are folded anew, each shown once it is as new as the one that is there.
    """

    name: str
    value: type[Struct]
    key: str
    follows: Mapping[str, tuple[type[Event], ...]]
    apply: Callable[[Any, str, Any], Any]
    version: int = 1

    @property
    def context(self) -> str:
        (context,) = self.follows
        return context
