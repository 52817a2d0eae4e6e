"""What `/consistency-lag` is asked and answers, over HTTP and NATS (design section 10)."""

from datetime import datetime
from typing import Any, Literal

from msgspec import Struct

from common.messages import Id, Query
from common.readmodel import live_name
from common.shell.clocks import Offset
from common.shell.durations import Quantiles
from common.shell.hops import Hop

State = Literal["live", "catching-up", "rebuilding", "stalled", "red", "late", "dead"]
"""`rebuilding` is a table of a new version, built beside the live one, and a live one that stands until then;
`red` is in trouble, by its own word; `stalled` beats, but does not move although there is something to do; `late`
and `dead` have fallen silent."""
UNKNOWN: Literal["unknown"] = "unknown"
Unknown = Literal["unknown"]


class ModelLag(Struct, kw_only=True):
    """How far one read model is behind one context. `ms` is the age of the oldest event that it does not show.

    Who is not alive is never 0 behind: then it is unknown. The quantiles are from recorded to visible, over the last
    minute; `hops` has the whole way. `heard_s` is the time since its last word, None when it has never been heard.

    `version` is of the model that the table is of; one that is `building` is not read yet and has a line of its own.
    """

    model: str
    context: str
    state: State
    error: str
    projected: int | Unknown
    head: int | Unknown
    events: int | Unknown
    ms: float | Unknown
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    n: int
    hops: dict[Hop, Quantiles]
    heard_s: float | None
    version: int = 1
    building: bool = False

    @property
    def title(self) -> str:
        """Its name; of a table that is built, with its version."""
        return f"{live_name(self.model)} v{self.version}" if self.building else self.model


class ContextLag(Struct, kw_only=True):
    """A context's record: where it ends, and the age of the oldest snapshot that its database holds open, 0 for none.

    An old snapshot makes every append slower.
    """

    context: str
    head: int | Unknown
    incarnation: str
    recorded_at: datetime | None
    oldest_snapshot_ms: float | Unknown


class ProcessLag(Struct, kw_only=True):
    """A process, or a part of one: worker, relay, projector or gateway. `said` is its last word as it was.

    Reactions have a line for each context that they follow, which `context` names.
    `clocks` are how far the servers' clocks are ahead of this process's; `events` and `ms` are for relays,
    reactions and effects: the age of the oldest event that is not relayed, reacted to, or settled outside.
    """

    kind: str
    name: str
    context: str
    state: State
    error: str
    heard_s: float | None
    events: int | Unknown | None = None
    ms: float | Unknown | None = None
    clocks: list[Offset] = []
    said: dict[str, Any] = {}

    @property
    def title(self) -> str:
        """Its name; of one that follows another context, also that one's."""
        return self.name if self.context in ("", self.name) else f"{self.name} to {self.context}"


class LagAnswer(Struct):
    """The answer of `/consistency-lag`."""

    read_models: list[ModelLag]
    contexts: list[ContextLag]
    processes: list[ProcessLag]


class ConsistencyLag(Query, kw_only=True, get="/consistency-lag", answer=LagAnswer):
    """How far behind each read model is, and which processes live. `model` asks for one of them alone."""

    model: Id | None = None
