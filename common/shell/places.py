"""How far a read model is, as its own tables say, and whether that is far enough for an answer."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from time import monotonic
from typing import Any

from msgspec import Struct

from common.readmodel import Follows
from common.shell.unanswered import Unanswered
from common.shell.wish import After, position_header
from common.store.checkpoints import NOWHERE, Checkpoint, read_checkpoints

RECENT_S = 0.01
"""For how long a place that was read stands for all queries. A model only moves on, but for a crash of its server, and
no server is back so soon."""

Wanted = list[After]
"""Positions that an answer must reflect."""


class Place(Struct, frozen=True):
    """How far a model was at a monotonic time; `header` is what its answers say of that.

    It is `whole` unless the table is of a version that did not follow all of the contexts that the model follows.
    """

    read_at: float
    checkpoints: Mapping[str, Checkpoint]
    header: str
    whole: bool

    def shows(self, wanted: Wanted) -> bool:
        """Raises `Unanswered` when a wanted position means nothing here."""
        return all(reflected(self.checkpoints.get(each.context, NOWHERE), each) for each in wanted)


class Places:
    """The places of read models. `ask` reads a model's checkpoints by context, of a connection."""

    def __init__(self, ask: Callable[[Any, str], Awaitable[Mapping[str, Checkpoint]]] = read_checkpoints) -> None:
        self._read: dict[str, Place] = {}
        self._ask = ask

    async def read(self, connection: Any, model: Follows, wanted: Wanted) -> Place:
        """The model's place, as it was a moment ago if that will do: it costs a third of a small query."""
        place = self._read.get(model.name)
        if place is None or monotonic() - place.read_at > RECENT_S or not place.shows(wanted):
            read_at = monotonic()
            checkpoints = await self._ask(connection, model.name)
            place = self._read[model.name] = place_of(checkpoints, read_at, model.follows.keys() <= checkpoints.keys())
        return place


def place_of(checkpoints: Mapping[str, Checkpoint], read_at: float, whole: bool) -> Place:
    positions = {context: (each.position, each.incarnation) for context, each in checkpoints.items()}
    return Place(read_at, checkpoints, position_header(positions), whole)


def least(places: Sequence[Place]) -> Place:
    """The place of what is read from all of these: of each context the least position."""
    if len(places) == 1:
        return places[0]
    checkpoints: dict[str, Checkpoint] = {}
    for context, each in (found for place in places for found in place.checkpoints.items()):
        checkpoints[context] = min(checkpoints.get(context, each), each, key=lambda one: one.position)
    return place_of(checkpoints, min(place.read_at for place in places), all(place.whole for place in places))


def reflected(checkpoint: Checkpoint, wanted: After) -> bool:
    """Whether a table at this place shows what is wanted. Raises `Unanswered` when the position means nothing there."""
    if checkpoint.incarnation and not checkpoint.incarnation.startswith(wanted.incarnation):
        detail = f"the record of {wanted.context} was restored since this position was told; ask without it"
        raise Unanswered(409, "other-incarnation", detail, context=wanted.context)
    return checkpoint.position >= wanted.position
